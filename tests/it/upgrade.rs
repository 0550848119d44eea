//! An upgrade of the server itself: the old process is stopped, the new one started, while clients go on sending.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    kill::{CLIENTS, Client, StopOnDrop, address_of, check_all, total},
    server::Server,
};

/// Between two looks at the counters.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until every client got further than it was.
fn until_all_go_on(acknowledged: &[AtomicU64]) {
    let before: Vec<u64> = acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect();
    while acknowledged.iter().zip(&before).any(|(count, before)| count.load(Ordering::SeqCst) == *before) {
        std::thread::park_timeout(PAUSE);
    }
}

/// Old and new are the same build: the test is of the hand-over. (Files of older versions: see the fixtures of `store`.)
#[test]
fn an_upgrade_under_load_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Some(Server::start(folder.path()));
    let address = Mutex::new(address_of(server.as_ref()));
    let acknowledged: Vec<AtomicU64> = (0..CLIENTS).map(|_| AtomicU64::new(0)).collect();
    let (resent, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _guard = StopOnDrop(&stop);
        for (number, acknowledged) in (0..).zip(&acknowledged) {
            let client = Client { number, seed: 44, server: &address, acknowledged, resent: &resent, stop: &stop };
            scope.spawn(move || client.run());
        }
        for hand_over in 1..=3 {
            until_all_go_on(&acknowledged);
            let begin = Instant::now();
            // SIGTERM: requests under way are answered, memory is flushed, exit code 0.
            server.take().unwrap().stop();
            let stopped = begin.elapsed();
            server = Some(Server::start(folder.path()));
            *address.lock().unwrap() = address_of(server.as_ref());
            println!(
                "hand-over {hand_over}: {stopped:?} until the old process was gone, {:?} without a server",
                begin.elapsed()
            );
            until_all_go_on(&acknowledged);
        }
    });
    check_all(&acknowledged, address_of(server.as_ref()), "after three hand-overs");
    let resent = resent.into_inner();
    println!(
        "{} events acknowledged and queryable, none twice; {resent} batches were sent again",
        total(&acknowledged)
    );
}
