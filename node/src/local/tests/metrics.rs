//! What is measured without a network.

use super::*;

#[tokio::test]
async fn what_is_there_is_measured_and_no_label_holds_what_was_asked_for() {
    let bench = bench().await;
    bench.create("one").await;
    let (status, _) = bench.text(Method::GET, "/v1/beads/Nosuchbead", Body::empty()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = bench.text(Method::GET, "/no/such/route", Body::empty()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, text) = bench.text(Method::GET, "/metrics", Body::empty()).await;
    assert_eq!(status, StatusCode::OK);
    for line in [
        concat!("beadmesh_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "beadmesh_beads{status=\"open\"} 1.0",
        "beadmesh_beads{status=\"custom\"} 0.0",
        "beadmesh_beads_ready 1.0",
        "beadmesh_core_answers 1.0",
        "beadmesh_core_lane_length{lane=\"command\"} 0.0",
        "beadmesh_peers 0.0",
        "beadmesh_refusals_total{kind=\"api_proof\"} 0",
        "beadmesh_api_requests_total{method=\"GET\",route=\"/v1/beads/{ref}\",status=\"404\"} 1",
        "beadmesh_api_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("Nosuchbead") && !text.contains("/no/such"), "{text}");
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}\n{text}"));
        line.trim().parse().unwrap()
    };
    assert!(value("beadmesh_store_flush_seconds_count ") >= 2.0);
    assert!(value("beadmesh_store_bytes ") > 0.0 && value("beadmesh_home_disk_free_bytes ") > 0.0);
    assert!(value("beadmesh_store_entries{set=\"control\"} ") >= 1.0);
    assert!(value("beadmesh_store_entries{set=\"data\"} ") >= 1.0);
}

#[tokio::test]
async fn a_single_command_is_healthy_and_not_ready() {
    let bench = bench().await;
    let (status, text) = bench.text(Method::GET, "/-/healthy", Body::empty()).await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "The replica answers.\n"));
    let (status, error) = bench.refused(Method::GET, "/-/ready", Body::empty()).await;
    assert_eq!((status, &error["code"]), (503, &json!("unavailable")));
}
