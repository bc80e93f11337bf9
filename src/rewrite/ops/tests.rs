use super::super::head::lines::{head, wire};
use super::*;
use crate::template::Variable;

/// `${client.ip}` breaks the line, `${path.0}` is an id, nothing else is there.
struct Values;

impl Fill for Values {
    fn fill(&self, variable: &Variable, out: &mut Vec<u8>) {
        match variable {
            Variable::ClientIp => out.extend_from_slice(b"a\r\nX-Evil: 1"),
            Variable::ClientPort => out.push(0),
            Variable::Path(0) => out.extend_from_slice(b"7%2F"),
            _ => {}
        }
    }
}

fn compile(yaml: &str, direction: Direction) -> Result<HeaderOps, Vec<(String, String, String)>> {
    let config: HeadersConfig = serde_yaml::from_str(yaml).expect(yaml);
    let mut diagnostics = Diagnostics::new();
    let at = At::root().key("h");
    let ops = HeaderOps::compile(&config, &["id"], direction, &at, &mut diagnostics);
    let said = diagnostics.iter().map(|d| (d.at.to_string(), d.what.clone(), d.help.clone()));
    let said: Vec<_> = said.collect();
    assert_eq!(ops.is_none(), !said.is_empty(), "{yaml}");
    ops.ok_or(said)
}

#[test]
fn what_is_written_or_taken_away_has_no_twin_beside_it() {
    for (yaml, before, after) in [
        (
            "{ set: { X_Tenant: a } }",
            &["x-tenant: forged", "x_tenant: forged"][..],
            &["x_tenant: a"][..],
        ),
        (
            "{ set: { X-My-Id: a } }",
            &["x_my-id: b", "x-my_id: c", "xmyid: d"],
            &["x-my-id: a", "xmyid: d"],
        ),
        // The value can't be sent, and nobody else's is read for it.
        ("{ set: { X-Ip: \"${client.ip}\" } }", &["x_ip: forged"], &[]),
        ("{ remove: [ X-Debug ] }", &["x_debug: 1", "x-debug: 2"], &[]),
        ("{ rename: { X-A: X-B } }", &["x-a: 1", "x_b: 2", "x_a: 3"], &["x-b: 1"]),
        ("{ rename: { X_A: X-A } }", &["x_a: 1", "x-a: 2"], &["x-a: 1"]),
        ("{ set: { X-A: \"1\", X_A: \"1\" } }", &["x-a: 2"], &["x-a: 1", "x_a: 1"]),
        // What is added stands beside what is there.
        ("{ add: { X-A: \"1\" } }", &["x_a: 2"], &["x-a: 1", "x_a: 2"]),
        ("{ set: { Plain: a } }", &["plain: b", "x_y: c"], &["plain: a", "x_y: c"]),
        ("{ set: { X_Own: a } }", &["x-own: forged"], &["x_own: a"]),
        ("{ set: { X-Own: a } }", &["x-own: forged"], &["x-own: a"]),
    ] {
        let ops = compile(yaml, Direction::Request).unwrap();
        let mut message = head(before);
        ops.apply(&mut message, &Values);
        assert_eq!(wire(&message), after, "{yaml}");
        // Whoever knows what the names are like need not have them searched.
        let mut message = head(before);
        let underscored = message.keys().any(may_be_twin);
        ops.apply_to(&mut message, underscored, &Values);
        assert_eq!(wire(&message), after, "{yaml}");
    }
    let mut answer = head(&["x_a: 2"]);
    compile("{ set: { X-A: \"1\" } }", Direction::Response).unwrap().apply(&mut answer, &Values);
    assert_eq!(wire(&answer), ["x-a: 1", "x_a: 2"]);
}

#[test]
fn operations_are_applied_in_their_order() {
    for (yaml, before, after) in [
        ("{}", &["a: 1"][..], &["a: 1"][..]),
        (
            "{ set: { X-Gateway: \"True\" } }",
            &["x-gateway: no", "x-gateway: never"],
            &["x-gateway: True"],
        ),
        ("{ set: { X-Gateway: \"True\" } }", &[], &["x-gateway: True"]),
        ("{ add: { X-A: \"2\" } }", &["x-a: 1"], &["x-a: 1", "x-a: 2"]),
        ("{ add: { X-A: [ \"1\", \"2\" ] } }", &[], &["x-a: 1", "x-a: 2"]),
        ("{ remove: [ x-a ] }", &["x-a: 1", "x-a: 2", "b: 3"], &["b: 3"]),
        ("{ rename: { x-a: X-B } }", &["x-a: 1", "x-a: 2", "x-b: 0"], &["x-b: 1", "x-b: 2"]),
        ("{ rename: { x-a: X-B } }", &["x-b: 0"], &["x-b: 0"]),
        ("{ rename: { x-a: X-A } }", &["x-a: 1"], &["x-a: 1"]),
        (
            "{ remove: [ X-A ], set: { X-A: s }, add: { X-A: a } }",
            &["x-a: c"],
            &["x-a: a", "x-a: s"],
        ),
        ("{ rename: { X-A: X-B }, set: { X-A: s } }", &["x-a: c"], &["x-a: s", "x-b: c"]),
        ("{ set: { X-Id: \"<${path.id}>\" } }", &[], &["x-id: <7%2F>"]),
        ("{ set: { X-Who: \"${consumer.name}\" } }", &["x-who: me"], &["x-who: "]),
        ("{ set: { X-Ip: \"${client.ip}\" } }", &["x-ip: forged", "b: 1"], &["b: 1"]),
        ("{ add: { X-Ip: \"${client.ip}\" } }", &["x-ip: kept"], &["x-ip: kept"]),
        ("{ set: { X-P: \"${client.port}\" } }", &[], &[]),
        ("{ remove: [ X-Consumer-Name ] }", &["x-consumer-name: a"], &[]),
        ("{ rename: { X-Consumer-Name: X-User } }", &["x-consumer-name: a"], &["x-user: a"]),
        ("{ set: { X-Dollar: \"$${x}\" } }", &[], &["x-dollar: ${x}"]),
    ] {
        let ops = compile(yaml, Direction::Request).expect(yaml);
        let mut head = head(before);
        ops.apply(&mut head, &Values);
        assert_eq!(wire(&head), after, "{yaml}");
    }
}

#[test]
fn responses_are_changed_alike() {
    let ops = compile("{ remove: [ Server ], set: { X-Consumer-Plan: x } }", Direction::Response)
        .expect("ops");
    let mut head = head(&["Server: uvicorn"]);
    ops.apply(&mut head, &Values);
    assert_eq!(wire(&head), ["x-consumer-plan: x"]);
    assert!(!ops.is_empty());
    assert!(compile("{}", Direction::Response).expect("ops").is_empty());
}

#[test]
fn literals_are_ready_at_load() {
    let ops = compile("{ set: { A: \"True\", B: \"${path.id}\" } }", Direction::Request);
    let values: Vec<_> = ops.expect("ops").write.into_iter().map(|write| write.value).collect();
    assert!(matches!(&values[..], [Value::Ready(_), Value::Rendered(_)]));
}

#[test]
fn mistakes_have_place_cause_and_help() {
    for (yaml, at, what, help) in [
        ("{ set: { Host: a } }", "h.set.Host", "virtual host", "the upstream's `host`"),
        ("{ remove: [ a, HOST ] }", "h.remove[1]", "virtual host", "`host`"),
        ("{ set: { Connection: a } }", "h.set.Connection", "one connection", "removes it"),
        ("{ set: { transfer-encoding: a } }", "h.set.transfer-encoding", "frames", "fits the body"),
        ("{ remove: [ Content-Length ] }", "h.remove[0]", "frames", "fits the body"),
        ("{ add: { Upgrade: a } }", "h.add.Upgrade", "one connection", "removes it"),
        ("{ add: { TE: a } }", "h.add.TE", "one connection", "removes it"),
        ("{ add: { Trailer: a } }", "h.add.Trailer", "one connection", "removes it"),
        ("{ set: { Keep-Alive: a } }", "h.set.Keep-Alive", "one connection", "removes it"),
        ("{ rename: { a: Proxy-Authorization } }", "h.rename.a", "next proxy", "removes it"),
        ("{ rename: { Host: X-Host } }", "h.rename.Host", "virtual host", "`host`"),
        ("{ set: { \":path\": a } }", "h.set.:path", "pseudo-header", "name a header"),
        ("{ set: { \"a b\": a } }", "h.set.\"a b\"", "not a header's name", "letters"),
        ("{ set: { \"\": a } }", "h.set.\"\"", "not a header's name", "letters"),
        (
            "{ set: { X-Consumer-Name: a } }",
            "h.set.X-Consumer-Name",
            "by the gateway alone",
            "${consumer.name}",
        ),
        (
            "{ add: { x_consumer_x: a } }",
            "h.add.x_consumer_x",
            "by the gateway alone",
            "${consumer.name}",
        ),
        (
            "{ rename: { X-A: X-Consumer-Name } }",
            "h.rename.X-A",
            "by the gateway alone",
            "another name",
        ),
        ("{ set: { A: \"x\\r\\ny\" } }", "h.set.A", "line break", "one line"),
        ("{ set: { A: \"x\\ny ${client.ip}\" } }", "h.set.A", "line break", "one line"),
        ("{ add: { A: [ a, \"\\0\" ] } }", "h.add.A[1]", "control character", "one line"),
        ("{ set: { A: \"${client.pi}\" } }", "h.set.A", "no variable", "client.ip"),
        ("{ set: { A: \"${path.idd}\" } }", "h.set.A", "captures no", "did you mean \"id\"?"),
        ("{ set: { A: a, a: b } }", "h.set.a", "is set twice", "h.set.A"),
        ("{ add: { A: a, a: b } }", "h.add.a", "twice in `add`", "h.add.A"),
        ("{ remove: [ A, a ] }", "h.remove[1]", "removed twice", "h.remove[0]"),
        ("{ rename: { A: B, C: b } }", "h.rename.C", "two renamings", "h.rename.A"),
        ("{ rename: { A: B, B: C } }", "h.rename.B", "two renamings", "h.rename.A"),
        ("{ remove: [ a ], rename: { A: B } }", "h.rename.A", "removed before", "out of `remove`"),
    ] {
        let said = compile(yaml, Direction::Request).expect_err(yaml);
        let found = said.iter().any(|(a, w, h)| a == at && w.contains(what) && h.contains(help));
        assert!(found, "{yaml}: {said:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let yaml = "{ set: { Host: a, B: \"${x}\" }, remove: [ TE ], add: { \":m\": [ \"\\n\", a ] } }";
    assert_eq!(compile(yaml, Direction::Response).expect_err("mistakes").len(), 5);
}
