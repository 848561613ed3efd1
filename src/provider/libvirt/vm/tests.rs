use super::super::domain::tests::plan;
use super::*;

#[test]
fn what_the_daemon_tells_is_looked_at_before_the_next_look_is_due() {
    let Some(connection) = Connection::for_tests() else { return };
    // The one domain of libvirt's hypervisor for tests.
    let id: crate::store::MachineId = "6695eb01f6a4830479aa97f2502e193f".parse().unwrap();
    let mut vm = LibvirtVm::new(VmHome { id, dir: "/m".into(), runtime: "/r".into(), shared: "/s".into() });
    vm.daemon = Some(Daemon::for_tests(Arc::clone(&connection)));
    let record = LibvirtRecord {
        uri: "test:///default".into(),
        domain: "test".into(),
        plan: plan(),
        created: true,
        defined: true,
        definition: None,
        started: true,
        storage: None,
        hops: Vec::new(),
        networks: Vec::new(),
        way: None,
    };
    let cx = Cx::silent();
    assert!(vm.may_have_changed(&cx, &record), "nobody has looked yet");
    if let Some((_, looked)) = &mut vm.watch {
        *looked = Instant::now() + Duration::from_secs(3600);
    }
    assert!(!vm.may_have_changed(&cx, &record));
    connection.domain(&id.uuid()).unwrap().unwrap().pause().unwrap();
    assert!((0..400).any(|_| vm.rest(&cx, TICK) && vm.may_have_changed(&cx, &record)));
}
