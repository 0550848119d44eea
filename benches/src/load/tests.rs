use std::{
    io::{BufRead, BufReader, Read},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use super::*;
use crate::site::Profile;

/// Heads and bodies.
type Requests = Vec<(String, Vec<u8>)>;

const MINUTE: i64 = 29_919_740;

#[test]
fn bodies_hold_exactly_the_events_asked_for_and_none_is_lost() {
    let (site, rates, story) = (Site::new(1, Profile::Live), Rates::new(1, 20.0, MINUTE), Story::default());
    let mut whole = Vec::new();
    Traffic::from(&site, &rates, MINUTE).write_until(&story, i64::MAX, 2_000, &mut whole);
    let mut feed = Feed::new(Traffic::from(&site, &rates, MINUTE), 1);
    let mut pieces = Vec::new();
    for count in [1, 1, 7, 100, 250, 1, 640] {
        let body = feed.next(&story, count);
        assert_eq!(body.iter().filter(|&&byte| byte == b'\n').count(), count as usize);
        assert!(body.ends_with(b"\n"));
        pieces.extend_from_slice(body);
    }
    assert_eq!(pieces, whole[..pieces.len()]);
}

/// Reads one request; false at the end of the connection.
fn read_request(stream: &mut BufReader<TcpStream>, seen: &Mutex<Requests>) -> bool {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).unwrap() == 0 {
            return false;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    seen.lock().unwrap().push((head, body));
    true
}

/// A server that refuses every fifth request of a connection and acknowledges the others.
fn serve(seen: Arc<Mutex<Requests>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, seen) = (BufReader::new(stream.unwrap()), seen.clone());
            std::thread::spawn(move || {
                let mut number = 0;
                while read_request(&mut stream, &seen) {
                    number += 1;
                    let status = if number % 5 == 0 { "503 Busy" } else { "200 OK" };
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                    stream.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

fn plan(connections: u32, batch: u32, events_max: u64) -> Plan {
    Plan {
        connections,
        batch,
        gzip: false,
        warm_up: Duration::ZERO,
        window: Duration::from_secs(60),
        pace: None,
        events_max: Some(events_max),
        from_minute: MINUTE,
        seed: 5,
    }
}

#[test]
fn every_acknowledged_event_is_counted_once_and_refused_ones_are_sent_again() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let address = serve(seen.clone());
    let (site, story) = (Site::new(1, Profile::Live), Story::default());
    let mut edges = 0;
    let report = run(&plan(3, 10, 300), &site, &story, address, "shop", || edges += 1).unwrap();
    assert_eq!(edges, 2);
    let seen = seen.lock().unwrap();
    assert!(seen.iter().all(|(head, _)| head.starts_with("POST /api/v1/events/shop HTTP/1.1")));
    let mut bodies: Vec<_> = seen.iter().map(|(_, body)| body).collect();
    assert_eq!(bodies.len(), 36, "300 events in tens, and one refusal in five");
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 30);
    // Requests before the window opened are not counted; it opens at once here, but not at the same instant.
    assert!(report.acks <= 30 && report.events == report.acks * 10);
}

#[test]
fn gzip_bodies_are_smaller_and_hold_the_same() {
    let (site, rates, story) = (Site::new(1, Profile::Live), Rates::new(1, 20.0, MINUTE), Story::default());
    let mut feed = Feed::new(Traffic::from(&site, &rates, MINUTE), 100);
    let json = feed.next(&story, 100).to_vec();
    let mut body = Vec::new();
    encode(&json, true, &mut body);
    assert!(body.len() * 4 < json.len());
    let mut back = Vec::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut back).unwrap();
    assert_eq!(back, json);
}

#[test]
fn an_answer_that_is_no_acknowledgement_ends_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        read_request(&mut stream, &Mutex::default());
        stream.get_mut().write_all(b"HTTP/1.1 400 Bad\r\ncontent-length: 3\r\n\r\nwhy").unwrap();
    });
    let error =
        run(&plan(1, 10, 100), &Site::new(1, Profile::Live), &Story::default(), address, "shop", || {}).unwrap_err();
    assert_eq!(error.to_string(), "POST /api/v1/events/shop was answered with 400: why");
}
