//! Routes on agents and letters, and who may use them.

use super::*;
use crate::api::model::AGENT_HEADER;

/// What the headers of a request say of who asks.
type Headers<'a> = &'a [(&'a str, &'a str)];

impl Bench {
    /// Asks with headers; returns the status and the answer.
    async fn ask_with(&self, headers: Headers<'_>, method: Method, path: &str, body: Value) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let response = self.local.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(answer["schema"], 1, "{answer}");
        (status, answer)
    }

    /// Registers an agent, and returns what it bears.
    async fn register(&self, name: &str) -> String {
        let answer = self.post("/v1/agents", json!({"name": name, "program": "tests"})).await;
        assert_eq!(answer["agent"]["address"], format!("{name}@box"), "{answer}");
        format!("Bearer {}", answer["token"].as_str().unwrap())
    }

    /// Writes a letter.
    async fn send(&self, from: Headers<'_>, to: &str, subject: &str) -> Value {
        let wish = json!({"to": [to], "subject": subject, "body": "Text."});
        let (status, mut answer) = self.ask_with(from, Method::POST, "/v1/letters", wish).await;
        assert_eq!(status, 201, "{answer}");
        answer["letter"].take()
    }
}

#[tokio::test]
async fn a_letter_goes_its_way_from_one_agent_to_another() {
    let bench = bench().await;
    let (blue, green) = (bench.register("BlueLake").await, bench.register("GreenCastle").await);
    let blue: Headers<'_> = &[(AGENT_HEADER, "BlueLake"), ("authorization", &blue)];
    let green: Headers<'_> = &[(AGENT_HEADER, "greencastle@box"), ("authorization", &green)];
    let wish = json!({
        "to": ["GreenCastle"], "cc": ["tim"], "subject": "Keys", "body": "Rotate them.", "thread": "keys",
        "importance": "urgent", "ack_required": true, "project": {"keys": ["github.com/a/b"]},
    });
    let (status, answer) = bench.ask_with(blue, Method::POST, "/v1/letters", wish).await;
    assert_eq!(status, 201, "{answer}");
    let letter = &answer["letter"];
    assert_eq!((&letter["from"], &letter["to"]), (&json!("BlueLake@box"), &json!(["GreenCastle@box"])));
    let id = letter["id"].as_str().unwrap();

    let status = bench.ask_with(green, Method::GET, "/v1/status", Value::Null).await.1;
    assert_eq!(
        (&status["agents"], &status["agent"], &status["unread"]),
        (&json!(3), &json!("GreenCastle@box"), &json!(1))
    );
    let inbox =
        bench.ask_with(green, Method::GET, "/v1/inbox?unread=true&urgent=true&since=2020-01-01", Value::Null).await.1;
    assert_eq!((&inbox["letters"][0]["id"], inbox["letters"][0].get("body")), (&json!(id), None), "{inbox}");
    let path = format!("/v1/letters/{id}");
    for (peek, unread) in [("?peek=true", true), ("?peek=true", true), ("", false), ("?peek=true", false)] {
        let (status, shown) = bench.ask_with(green, Method::GET, &format!("{path}{peek}"), Value::Null).await;
        assert_eq!((status, &shown["letter"]["body"]), (200, &json!("Rotate them.")), "{shown}");
        let inbox = bench.ask_with(green, Method::GET, "/v1/inbox?unread=true", Value::Null).await.1;
        assert_eq!(!inbox["letters"].as_array().unwrap().is_empty(), unread, "{peek}: {inbox}");
    }
    let (status, shown) = bench.ask_with(green, Method::POST, &format!("{path}/ack"), json!({})).await;
    assert_eq!((status, &shown["letter"]["ack_due"]), (200, &json!(false)), "{shown}");
    let reply = json!({"in_reply_to": id, "body": "Done."});
    let (_, reply) = bench.ask_with(green, Method::POST, "/v1/letters", reply).await;
    assert_eq!((&reply["letter"]["subject"], &reply["letter"]["to"]), (&json!("Re: Keys"), &json!(["BlueLake@box"])));
    let thread = bench.ask_with(blue, Method::GET, "/v1/threads/keys", Value::Null).await.1;
    assert_eq!((&thread["total"], &thread["letters"][1]["id"]), (&json!(2), &reply["letter"]["id"]), "{thread}");
    assert!(thread["letters"][0]["receipts"][0]["acknowledged_at"].is_string(), "{thread}");
    let found = bench.ask_with(blue, Method::GET, "/v1/letters?query=done", Value::Null).await.1;
    assert_eq!(found["letters"][0]["id"], reply["letter"]["id"], "{found}");
}

#[tokio::test]
async fn pages_of_letters_follow_each_other() {
    let bench = bench().await;
    let blue = bench.register("BlueLake").await;
    let blue: Headers<'_> = &[(AGENT_HEADER, "BlueLake"), ("authorization", &blue)];
    for subject in ["one", "two", "three"] {
        bench.send(blue, "BlueLake", subject).await;
    }
    let first = bench.ask_with(blue, Method::GET, "/v1/inbox?limit=2", Value::Null).await.1;
    assert_eq!(first["letters"].as_array().unwrap().len(), 2);
    let last = &first["letters"][1];
    assert_eq!(first["next"], last["id"]);
    for name in ["id", "short"] {
        let path = format!("/v1/inbox?limit=2&after={}", last[name].as_str().unwrap());
        let second = bench.ask_with(blue, Method::GET, &path, Value::Null).await.1;
        assert_eq!((&second["letters"][0]["subject"], second.get("next")), (&json!("one"), None), "{second}");
    }
    let (status, answer) = bench.ask_with(blue, Method::GET, "/v1/inbox?after=none-such", Value::Null).await;
    assert_eq!((status, &answer["error"]["field"]), (404, &json!("after")), "{answer}");
}

#[tokio::test]
async fn who_asks_is_told_by_headers_that_are_checked() {
    let bench = bench().await;
    let blue = bench.register("BlueLake").await;
    let before = bench.get("/v1/status").await["digest"].clone();
    let rows: [(Headers<'_>, u16, &str); 9] = [
        (&[], 403, ""),
        (&[(AGENT_HEADER, "BlueLake")], 403, ""),
        (&[(AGENT_HEADER, "Nobody"), ("authorization", &blue)], 403, ""),
        (&[(AGENT_HEADER, "tim"), ("authorization", &blue)], 403, ""),
        (&[("authorization", &blue)], 422, AGENT_HEADER),
        (&[(AGENT_HEADER, "Blue Lake"), ("authorization", &blue)], 422, AGENT_HEADER),
        (&[(AGENT_HEADER, ""), ("authorization", &blue)], 422, AGENT_HEADER),
        (&[(AGENT_HEADER, "BlueLake"), ("authorization", "Basic YTpi")], 401, "authorization"),
        (&[(AGENT_HEADER, "BlueLake"), ("authorization", "Bearer bma1short")], 401, "authorization"),
    ];
    let wish = json!({"to": ["tim"], "subject": "s", "body": "b"});
    for (headers, expected, field) in rows {
        let (status, answer) = bench.ask_with(headers, Method::POST, "/v1/letters", wish.clone()).await;
        let error = &answer["error"];
        assert_eq!(status, expected, "{headers:?}: {answer}");
        assert_eq!(error["field"].as_str().unwrap_or_default(), field, "{headers:?}: {answer}");
        assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{answer}");
        assert!(!answer.to_string().contains(&blue["Bearer ".len()..]), "a token is told");
    }
    assert_eq!(bench.get("/v1/status").await["digest"], before);
    // A status is for everybody.
    let (status, answer) = bench.ask_with(&[(AGENT_HEADER, "BlueLake")], Method::GET, "/v1/status", Value::Null).await;
    assert_eq!((status, answer.get("unread")), (200, None), "{answer}");
}

#[tokio::test]
async fn a_bead_is_written_under_a_registered_name_by_its_bearer_alone() {
    let bench = bench().await;
    let blue = bench.register("BlueLake").await;
    let blue: Headers<'_> = &[(AGENT_HEADER, "BlueLake"), ("authorization", &blue)];
    let wish = json!({"title": "t", "by": "bluelake"});
    let (status, _) = bench.ask_with(&[], Method::POST, "/v1/beads", wish.clone()).await;
    assert_eq!(status, 403);
    let (status, made) = bench.ask_with(blue, Method::POST, "/v1/beads", wish).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("/v1/beads/{}", made["bead"]["id"].as_str().unwrap());
    for (below, method, wish) in [
        ("", Method::PATCH, json!({"by": "BlueLake", "set": {"priority": 1}})),
        ("/close", Method::POST, json!({"by": "BlueLake"})),
        ("/reopen", Method::POST, json!({"by": "BlueLake"})),
        ("/labels", Method::POST, json!({"by": "BlueLake", "add": ["x"]})),
        ("/scopes", Method::POST, json!({"by": "BlueLake", "add": ["src/"]})),
        ("/comments", Method::POST, json!({"by": "BlueLake", "text": "x"})),
        ("/delete", Method::POST, json!({"by": "BlueLake"})),
    ] {
        let path = format!("{path}{below}");
        let (status, answer) = bench.ask_with(&[], method.clone(), &path, wish.clone()).await;
        assert_eq!((status, &answer["error"]["code"]), (403, &json!("refused")), "{path}");
        let (status, answer) = bench.ask_with(blue, method, &path, wish).await;
        assert_eq!(status, 200, "{path}: {answer}");
    }
    // A name that nobody registered is what it always was: a word.
    bench.create("by ada").await;
}

#[tokio::test]
async fn agents_are_registered_renewed_and_retired() {
    let bench = bench().await;
    let blue = bench.register("BlueLake").await;
    let (status, error) = bench.refused(Method::POST, "/v1/agents", r#"{"name":"BLUELAKE"}"#).await;
    assert_eq!((status, &error["code"]), (409, &json!("conflict")));
    let (status, error) = bench.refused(Method::POST, "/v1/agents", r#"{"name":"Blue Lake"}"#).await;
    assert_eq!((status, &error["field"]), (422, &json!("name")), "{error}");
    let own: Headers<'_> = &[(AGENT_HEADER, "BlueLake"), ("authorization", &blue)];
    let (status, told) =
        bench.ask_with(own, Method::POST, "/v1/agents", json!({"name": "BlueLake", "task": "keys"})).await;
    assert_eq!((status, &told["agent"]["task"], told.get("token")), (200, &json!("keys"), None), "{told}");
    let told = bench.post("/v1/agents/BlueLake/rotate", json!({})).await;
    assert_ne!(format!("Bearer {}", told["token"].as_str().unwrap()), blue);
    let (status, _) = bench.ask_with(own, Method::GET, "/v1/inbox", Value::Null).await;
    assert_eq!(status, 403, "the token before is worth nothing");
    let told = bench.post("/v1/agents/BlueLake/retire", json!({})).await;
    assert_eq!(told["agent"]["retired"], true);
    let names = |body: Value| -> Vec<Value> {
        body["agents"].as_array().unwrap().iter().map(|agent| agent["name"].clone()).collect()
    };
    assert_eq!(names(bench.get("/v1/agents").await), ["tim"]);
    assert_eq!(names(bench.get("/v1/agents?all=true").await), ["BlueLake", "tim"]);
    let (status, _) = bench.refused(Method::POST, "/v1/agents/Nobody/rotate", "").await;
    assert_eq!(status, 404);
    let made_up = bench.post("/v1/agents", json!({})).await;
    assert!(made_up["agent"]["name"].as_str().is_some_and(|name| !name.is_empty()), "{made_up}");
}

#[tokio::test]
async fn the_user_is_registered_once_and_gets_a_new_token_when_it_is_lost() {
    let mut bench = bench().await;
    let home = Home::at(bench.home.path());
    let kept = home.human().unwrap().unwrap();
    let bears = |kept: &crate::home::Human| format!("Bearer {}", kept.token.as_ref().unwrap().reveal());
    let (status, _) = bench
        .ask_with(&[(AGENT_HEADER, "tim"), ("authorization", &bears(&kept))], Method::GET, "/v1/inbox", Value::Null)
        .await;
    assert_eq!(status, 200);
    bench.local.close().await.unwrap();
    bench.local = open(&bench.home).await;
    assert_eq!(home.human().unwrap().unwrap(), kept);
    let paths =
        ["/v1/agents/Tim/retire", "/v1/agents/tim@box/rotate", "/v1/agents/%20tim/rotate", "/v1/agents/tim%20/retire"];
    for path in paths {
        assert_eq!(bench.refused(Method::POST, path, "").await.0, 403, "{path}");
    }
    std::fs::remove_file(bench.home.path().join("human.token")).unwrap();
    bench.local.close().await.unwrap();
    bench.local = open(&bench.home).await;
    assert_eq!(home.human().unwrap().unwrap().token, None, "nobody gets a token by removing one");
    let told = bench.post("/v1/human/rotate", json!({})).await;
    assert_eq!((&told["agent"]["name"], told.get("token")), (&json!("tim"), None));
    let renewed = home.human().unwrap().unwrap();
    assert_ne!(renewed.token, kept.token);
    for (human, expected) in [(&renewed, 200), (&kept, 403)] {
        let headers: Headers<'_> = &[(AGENT_HEADER, "tim"), ("authorization", &bears(human))];
        assert_eq!(bench.ask_with(headers, Method::GET, "/v1/inbox", Value::Null).await.0, expected);
    }
}

#[tokio::test]
async fn events_tell_of_letters_and_agents() {
    let bench = bench().await;
    let request = Request::builder().uri("/v1/events").body(Body::empty()).unwrap();
    let response = bench.local.router.clone().oneshot(request).await.unwrap();
    let blue = bench.register("BlueLake").await;
    let letter = bench.send(&[(AGENT_HEADER, "BlueLake"), ("authorization", &blue)], "tim", "Keys").await;
    bench.local.core.stop().await;
    let text = to_bytes(response.into_body(), 1024 * 1024).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("event: agents\n") && text.contains("event: letter\n"), "{text}");
    assert!(text.contains(letter["id"].as_str().unwrap()) && text.contains("BlueLake@box"), "{text}");
}
