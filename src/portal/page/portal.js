// Starts Swagger UI. Where each caller is shown what that caller may call, the document is fetched again with the
// caller's credentials whenever those change.
(function () {
  "use strict";
  const root = document.getElementById("portal");

  function credentials(system) {
    const headers = {};
    const authorized = system.authSelectors.authorized();
    for (const { schema, value } of Object.values(authorized ? authorized.toJS() : {})) {
      if (schema.type === "apiKey" && schema.in === "header" && value) headers[schema.name] = value;
      if (schema.type === "http" && schema.scheme === "bearer" && value) headers.Authorization = "Bearer " + value;
    }
    return headers;
  }

  let last = 0;
  async function fetchAgain(system) {
    const mine = ++last;
    let text;
    try {
      const answer = await fetch("openapi.json", { headers: credentials(system) });
      if (!answer.ok) return;
      text = await answer.text();
    } catch (error) {
      return; // the page stays as it is; trying a request will tell why
    }
    // What was asked for later counts.
    if (mine === last) system.specActions.updateSpec(text);
  }

  function again(original, system) {
    return function (payload) {
      const done = original(payload);
      fetchAgain(system);
      return done;
    };
  }

  const byCaller = {
    statePlugins: { auth: { wrapActions: { authorize: again, logout: again } } },
  };

  window.ui = window.SwaggerUIBundle({
    domNode: root,
    url: "openapi.json",
    plugins: root.dataset.show === "allowed" ? [byCaller] : [],
    presets: [window.SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    validatorUrl: null,
  });
})();
