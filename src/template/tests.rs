use super::*;

const CAPTURES: [&str; 2] = ["id", "line"];

/// Shows each variable by its name in brackets, except a consumer, which is not there.
struct Named;

impl Fill for Named {
    fn fill(&self, variable: &Variable, out: &mut Vec<u8>) {
        if *variable != Variable::ConsumerName {
            out.extend_from_slice(format!("<{variable}>").as_bytes());
        }
    }
}

fn rendered(text: &str) -> String {
    let template = Template::parse(text, &CAPTURES).expect(text);
    let mut out = Vec::new();
    template.render(&Named, &mut out);
    String::from_utf8(out).expect("text")
}

#[test]
fn variables_are_filled_and_the_rest_stays() {
    for (text, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("${client.ip}", "<client.ip>"),
        ("a${client.port}b", "a<client.port>b"),
        (
            "${request.method} ${request.path}?${request.query}",
            "<request.method> <request.path>?<request.query>",
        ),
        ("${request.scheme}://${request.host}", "<request.scheme>://<request.host>"),
        ("${request.id}${route.name}${upstream.name}", "<request.id><route.name><upstream.name>"),
        ("${path.id}/${path.line}", "<path.0>/<path.1>"),
        ("${header.User-Agent}", "<header.user-agent>"),
        ("${header.x_y}", "<header.x_y>"),
        ("by=${consumer.name};", "by=;"),
        ("$${client.ip}", "${client.ip}"),
        ("$$${client.ip}", "$${client.ip}"),
        ("5$ or $x or $", "5$ or $x or $"),
        ("{client.ip}}", "{client.ip}}"),
        ("ä${client.ip}ö", "ä<client.ip>ö"),
    ] {
        assert_eq!(rendered(text), expected, "{text:?}");
    }
}

#[test]
fn every_fixed_name_is_its_own_variable() {
    for (name, variable) in FIXED {
        let template = Template::parse(&format!("${{{name}}}"), &CAPTURES).expect(name);
        assert_eq!(template.variables().collect::<Vec<_>>(), [&variable]);
        assert_eq!(variable.to_string(), name);
        assert_eq!(template.literal(), None);
    }
}

#[test]
fn a_text_without_variables_is_one_literal() {
    for (text, literal) in [("", ""), ("True", "True"), ("$${x} $", "${x} $")] {
        assert_eq!(Template::parse(text, &CAPTURES).expect(text).literal(), Some(literal));
    }
}

#[test]
fn mistakes_are_named_and_helped() {
    for (text, what, help) in [
        ("${client.ip", "`${` is never closed", "$${"),
        ("${client.pi}", "no variable `${client.pi}`", "did you mean `${client.ip}`?"),
        ("${}", "no variable `${}`", "known are client.ip"),
        ("${CLIENT.IP}", "no variable", "known are"),
        ("${ client.ip }", "no variable", "did you mean `${client.ip}`?"),
        ("${path.idd}", "captures no \"idd\"", "did you mean \"id\"?"),
        ("${path.}", "captures no \"\"", "known here: id, line"),
        ("${header.}", "names no header", "letters"),
        ("${header.a b}", "names no header", "letters"),
        ("${header.:authority}", "names no header", "letters"),
        ("${header.X-Consumer-Name}", "claims to be", "${consumer.name}"),
        ("${header.x_consumer_name}", "claims to be", "${consumer.name}"),
        ("a ${env:HOME}", "no variable `${env:HOME}`", "whole value"),
        ("${a${client.ip}}", "no variable `${a${client.ip}`", "did you mean"),
    ] {
        let error = Template::parse(text, &CAPTURES).expect_err(text);
        assert!(error.what().contains(what), "{text:?}: {}", error.what());
        assert!(error.help().contains(help), "{text:?}: {}", error.help());
    }
    let error = Template::parse("${path.id}", &[] as &[&str]).expect_err("no captures");
    assert_eq!(error.help(), "name a segment of the route's path, such as /things/{id}");
}
