//! What VirtualBox's own log of a machine tells without a call of VBoxManage.

/// As much of the log's end as surely holds the last change of state of a machine that waits for something.
pub const TAIL: u64 = 128 << 10;

/// The runtime error of a machine whose disk image could not grow.
pub const DISK_FULL: &str = "DrvVD_DISKFULL";

/// The last state that the machine's process told of, in its own word (`RUNNING`).
pub fn last_state(log: &str) -> Option<&str> {
    let line = log.lines().rev().find(|line| line.contains("Changing the VM state from '"))?;
    line.rsplit_once("to '")?.1.split('\'').next()
}

/// Why the process stopped the machine by itself: the id of its last runtime error (`DrvVD_DISKFULL`).
pub fn runtime_error(log: &str) -> Option<&str> {
    let line = log.lines().rev().find(|line| line.contains("runtime error '"))?;
    line.split_once("runtime error '")?.1.split('\'').next()
}

/// The forwards that the NAT engine could not bind, which it tells nobody else: ports of the host.
pub fn refused_forwards(log: &str) -> Vec<u16> {
    let port = |line: &str| {
        let (_, rest) = line.split_once("failed to set up redirection of ")?;
        rest.split(' ').next()?.parse().ok()
    };
    log.lines().filter_map(port).collect()
}

/// The forwards that the NAT engine was given while the machine ran, whether it could bind them or not: ports of the host.
pub fn added_forwards(log: &str) -> Vec<u16> {
    let port = |line: &str| {
        let (_, rest) = line.split_once("New port forwarded added: fRemove=0,")?;
        rest.split_once("u16HostPort=")?.1.split(',').next()?.parse().ok()
    };
    log.lines().filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOG: &str = "\
00:00:00.342696 VMSetError: NAT#0: configuration error: failed to set up redirection of 22870 to 22. Probably a \
                       conflict with existing services or other rules
00:00:00.401 Changing the VM state from 'POWERING_ON' to 'RUNNING'
00:00:02.256883 New port forwarded added: fRemove=0, fUdp=0, pHostIp=127.0.0.1, u16HostPort=2299, pGuestIp=, u16GuestPort=80
00:00:02.356883 New port forwarded added: fRemove=1, fUdp=0, pHostIp=127.0.0.1, u16HostPort=2298, pGuestIp=, u16GuestPort=80
00:00:09.1 Console: VM runtime error: fatal=false, errorID=DrvVD_DISKFULL message=\"x\"
00:00:09.2 VM: Raising runtime error 'DrvVD_DISKFULL' (fFlags=0x6)
00:00:09.3 Changing the VM state from 'RUNNING' to 'SUSPENDED'
";

    #[test]
    fn the_last_words_count() {
        assert_eq!(last_state(LOG), Some("SUSPENDED"));
        assert_eq!(runtime_error(LOG), Some("DrvVD_DISKFULL"));
        assert_eq!((refused_forwards(LOG), added_forwards(LOG)), (vec![22870], vec![2299]));
        assert_eq!((last_state("x"), runtime_error("x")), (None, None));
        assert!(refused_forwards("failed to set up redirection of port to 22\n").is_empty());
    }

    proptest! {
        #[test]
        fn any_log_is_read_without_harm(text in "\\PC*|(Changing the VM state from '|to '|runtime error '|New port forwarded added: fRemove=0,|u16HostPort=|['\n a-z]){0,30}") {
            last_state(&text);
            runtime_error(&text);
            refused_forwards(&text);
            added_forwards(&text);
        }
    }
}
