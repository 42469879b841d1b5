use super::*;

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_before_the_replica_is_asked() {
    let bench = bench().await;
    let paths: Vec<String> = (0..=10_000).map(|at| format!("p{at}")).collect();
    let rows = [
        ("/v1/claims", json!({"scopes": ["src/"], "term_s": 0}), "term_s"),
        ("/v1/claims", json!({"scopes": ["src/"], "wait_s": 3_601}), "wait_s"),
        ("/v1/claims", json!({}), "scopes"),
        ("/v1/claims/x/renew", json!({"term_s": 604_801}), "term_s"),
        ("/v1/claims/check", json!({"paths": paths}), "paths"),
        ("/v1/ready/claim", json!({"term_s": 0}), "term_s"),
        ("/v1/voters", json!({"nodes": ["a", "b"]}), "nodes"),
        ("/v1/voters", json!({"nodes": ["a"], "hold_s": 1}), "hold_s"),
        ("/v1/voters", json!({"nodes": ["a"], "recovery_key": "bmr1x"}), "recovery_key"),
        ("/v1/claims", json!({"scope": ["src/"]}), "scope"),
    ];
    for (path, request, field) in rows {
        let (status, error) = bench.refused(Method::POST, path, request.to_string()).await;
        assert_eq!((status, error["code"].as_str(), error["field"].as_str()), (422, Some("invalid"), Some(field)));
    }
    let (status, error) = bench.refused(Method::GET, "/v1/claims?status=open", "").await;
    assert_eq!((status, error["field"].as_str()), (400, Some("status")));
}

#[tokio::test]
async fn without_a_ready_bead_there_is_nothing_to_claim() {
    let bench = bench().await;
    let (status, error) = bench.refused(Method::POST, "/v1/ready/claim", json!({}).to_string()).await;
    assert_eq!((status, error["code"].as_str()), (404, Some("not_found")));
}

#[tokio::test]
async fn every_route_on_leases_is_described() {
    let bench = bench().await;
    let (_, text) = bench.text(Method::GET, "/openapi.json", "").await;
    let described: Value = serde_json::from_str(&text).unwrap();
    let methods =
        |path: &str| -> Vec<String> { described["paths"][path].as_object().unwrap().keys().cloned().collect() };
    assert_eq!(methods("/v1/claims"), ["get", "post"]);
    assert_eq!(methods("/v1/voters"), ["get", "post"]);
    assert_eq!(methods("/v1/claims/{claim}"), ["get"]);
    for path in ["/v1/claims/{claim}/renew", "/v1/claims/{claim}/release", "/v1/claims/check", "/v1/ready/claim"] {
        assert_eq!(methods(path), ["post"], "{path}");
    }
}
