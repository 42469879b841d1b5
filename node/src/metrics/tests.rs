use prometheus_client::registry::Registry;

use super::*;

fn metrics() -> Metrics {
    Metrics::new(&Meter::new())
}

fn text(metrics: &Metrics) -> String {
    metrics.text(Format::Open, &Sheet::new(), None).unwrap()
}

#[test]
fn requests_are_counted_by_method_route_and_status_and_timed_by_route() {
    let metrics = metrics();
    let took = Duration::from_millis(3);
    for status in [StatusCode::OK, StatusCode::OK, StatusCode::NOT_FOUND] {
        metrics.request(&Method::GET, "/v1/beads/{bead}", status, took);
    }
    let odd = Method::from_bytes(b"BREW").unwrap();
    metrics.request(&odd, "none", StatusCode::METHOD_NOT_ALLOWED, took);
    let text = text(&metrics);
    for line in [
        "beadmesh_api_requests_total{method=\"GET\",route=\"/v1/beads/{bead}\",status=\"200\"} 2",
        "beadmesh_api_requests_total{method=\"GET\",route=\"/v1/beads/{bead}\",status=\"404\"} 1",
        "beadmesh_api_requests_total{method=\"other\",route=\"none\",status=\"405\"} 1",
        "beadmesh_api_request_seconds_count{route=\"/v1/beads/{bead}\"} 3",
        "beadmesh_api_request_seconds_bucket{le=\"0.001\",route=\"/v1/beads/{bead}\"} 0",
        "beadmesh_api_request_seconds_bucket{le=\"0.004\",route=\"/v1/beads/{bead}\"} 3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn every_outcome_of_a_claim_is_shown_before_there_is_one_and_a_wait_is_not_timed() {
    let metrics = metrics();
    for outcome in ["held", "tentative", "refused", "lost", "failed"] {
        assert!(text(&metrics).contains(&format!("beadmesh_claims_answered_total{{outcome=\"{outcome}\"}} 0\n")));
    }
    let held = || Err(Problem::new(StatusCode::CONFLICT, "held", "it is held", "wait"));
    metrics.claim(&held(), Some(Duration::from_millis(7)));
    metrics.claim(&held(), None);
    metrics.claim(&Err(Problem::no_node()), None);
    let text = text(&metrics);
    assert!(text.contains("beadmesh_claims_answered_total{outcome=\"refused\"} 2\n"), "{text}");
    assert!(text.contains("beadmesh_claims_answered_total{outcome=\"failed\"} 1\n"), "{text}");
    assert!(text.contains("beadmesh_claim_seconds_count 1\n"), "{text}");
}

#[test]
fn what_is_counted_read_and_told_by_the_network_ends_in_one_text() {
    let mut sheet = Sheet::new();
    sheet.level(Title::bytes("store", "On disk"), 1024.0);
    sheet.levels(Title::of("peer_connected", "Linked"), "peer", [("a \"b\"\n".to_owned(), 1.0)]);
    sheet.totals(Title::of("refusals", "Refused"), "kind", [("frame".to_owned(), 3)]);
    sheet.total(Title::of("lease_messages_unsent", "Dropped"), 4);
    sheet.used(Title::seconds("process_cpu", "Used"), 1.5);
    let mut network = Registry::default();
    network.register("libp2p_dials", "Dials", Counter::<u64>::default());
    let text = metrics().text(Format::Open, &sheet, Some(&network)).unwrap();
    for line in [
        "# TYPE beadmesh_store_bytes gauge",
        "# UNIT beadmesh_store_bytes bytes",
        "beadmesh_store_bytes 1024.0",
        "beadmesh_peer_connected{peer=\"a \\\"b\\\"\\n\"} 1.0",
        "beadmesh_refusals_total{kind=\"frame\"} 3",
        "beadmesh_lease_messages_unsent_total 4",
        "beadmesh_process_cpu_seconds_total 1.5",
        "beadmesh_store_flush_failures_total 0",
        "libp2p_dials_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
}

#[test]
fn the_older_format_announces_what_it_shows_and_nothing_else() {
    let mut registry = Registry::with_prefix("beadmesh");
    registry.register("build", "The program", Info::new([("version", "1")]));
    registry.register_with_unit("cpu", "Used", Unit::Seconds, Counter::<u64>::default());
    let seconds = Histogram::new([0.5]);
    seconds.observe(0.1);
    registry.register_with_unit("claim", "Time", Unit::Seconds, seconds);
    let mut open = String::new();
    encode_registry(&mut open, &registry).unwrap();
    encode_eof(&mut open).unwrap();
    let told: Vec<String> = classic::translated(&open).lines().map(str::to_owned).collect();
    assert_eq!(
        told,
        [
            "# HELP beadmesh_build_info The program.",
            "# TYPE beadmesh_build_info gauge",
            "beadmesh_build_info{version=\"1\"} 1",
            "# HELP beadmesh_cpu_seconds_total Used.",
            "# TYPE beadmesh_cpu_seconds_total counter",
            "beadmesh_cpu_seconds_total 0",
            "# HELP beadmesh_claim_seconds Time.",
            "# TYPE beadmesh_claim_seconds histogram",
            "beadmesh_claim_seconds_sum 0.1",
            "beadmesh_claim_seconds_count 1",
            "beadmesh_claim_seconds_bucket{le=\"0.5\"} 1",
            "beadmesh_claim_seconds_bucket{le=\"+Inf\"} 1",
        ]
    );
}
