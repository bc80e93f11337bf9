"""What a page does in a real browser with all that stands behind the gateway.

    browser_edge.py BASE KEY

BASE is the gateway's https URL. The answer, on standard output, is JSON: what the page saw.
"""

import json
import sys

from browser import Browser

# A page's own small client of gRPC-Web: one request, the messages and trailers of the answer.
PAGE = """
const [key, done] = arguments;
const frame = bytes => new Uint8Array([0, 0, 0, bytes.length >> 8, bytes.length & 255, ...bytes]);
const utf8 = bytes => new TextDecoder().decode(bytes);
const fromBase64 = text => Uint8Array.from(
    text.match(/.{4}/g).map(atob).join(''), character => character.charCodeAt(0));

async function call(method, message, text, headers = {'x-api-key': key}) {
    const body = frame(new TextEncoder().encode(message));
    const answer = await fetch('/test.Echo/' + method, {
        method: 'POST',
        headers: {'content-type': 'application/grpc-web' + (text ? '-text' : ''), 'x-grpc-web': '1', ...headers},
        body: text ? btoa(String.fromCharCode(...body)) : body,
    });
    const bytes = text ? fromBase64(await answer.text()) : new Uint8Array(await answer.arrayBuffer());
    const seen = {messages: [], status: answer.headers.get('grpc-status')};
    for (let at = 0; at < bytes.length;) {
        const length = new DataView(bytes.buffer).getUint32(at + 1), content = utf8(bytes.slice(at + 5, at + 5 + length));
        if (bytes[at] & 128) seen.status = content.match(/grpc-status: *([0-9]+)/)[1];
        else seen.messages.push(content);
        at += 5 + length;
    }
    return seen;
}

const talk = messages => new Promise((resolve, reject) => {
    const socket = new WebSocket(location.origin.replace('https', 'wss') + '/chat'), seen = [];
    socket.onopen = () => messages.forEach(message => socket.send(message));
    socket.onmessage = ({data}) => seen.push(data);
    socket.onerror = () => reject(new Error('the socket failed'));
    socket.onclose = ({code, reason}) => resolve({seen, code, reason});
});

async function all() {
    const [page] = performance.getEntriesByType('navigation');
    const with_key = await fetch('/api/v1/echo', {method: 'POST', headers: {'x-api-key': key}, body: 'from a page'});
    const parts = (await fetch('/api/v1/download/300000', {headers: {'x-api-key': key}})).body.getReader();
    let size = 0;
    for (let part = await parts.read(); !part.done; part = await parts.read()) size += part.value.length;
    return {
        text: document.body.innerText,
        protocol: page.nextHopProtocol,
        fetched: await with_key.json(),
        refused: (await fetch('/api/v1/echo')).status,
        size,
        socket: await talk(['one', 'zw\u00f6lf', 'leave']),
        unary: await call('Unary', 'abc', false),
        text_unary: await call('Unary', 'abcd', true),
        many: await call('Many', '100', true),
        failed: await call('Fail', '', false),
        failed_late: await call('FailLate', '', true),
        stranger: await call('Unary', 'abc', true, {}),
    };
}
all().then(done, error => done({error: `${error}`}));
"""

base, key = sys.argv[1:]
browser = Browser()
try:
    browser.open(base + "/page")
    seen = browser.later(PAGE, key)
    seen["requests"] = browser.requests()
finally:
    browser.close()
json.dump(seen, sys.stdout)
