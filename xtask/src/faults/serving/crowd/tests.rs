use std::net::TcpListener;
use std::thread::scope;

use super::*;

const TIME: Duration = Duration::from_secs(30);
/// Shorter than the time after which a client that was turned away comes again.
const SHORT: Duration = Duration::from_millis(500);

fn script(head: &str) -> Script {
    Script {
        head: head.to_owned(),
        filler: Arc::from(*b"abc"),
        body_bytes: 0,
        stops_after: None,
        send: Pace::FULL,
        read: Pace::FULL,
        expected: None,
        again: false,
        status: None,
        owed: Owed::NOTHING,
    }
}

/// Runs clients against a server that does `serve` to so many connections, one after another.
/// Returns the result for the clients.
fn driven(
    scripts: &[Script],
    connections: usize,
    serve: fn(&mut TcpStream) -> io::Result<()>,
) -> Tally {
    driven_for(TIME, scripts, connections, serve)
}

fn driven_for(
    most: Duration,
    scripts: &[Script],
    connections: usize,
    serve: fn(&mut TcpStream) -> io::Result<()>,
) -> Tally {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    scope(|scope| {
        scope.spawn(move || {
            for _ in 0..connections {
                let (mut socket, _) = listener.accept().expect("a client");
                serve(&mut socket).expect("served");
            }
        });
        drive(&address, scripts.to_vec(), most, most).expect("driven")
    })
}

/// Takes a head of `n` bytes and a body of 8.
fn take(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4 + 8];
    socket.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn what_is_sent_is_the_head_and_the_filler_up_to_the_length() {
    let paced = Pace { at_once: 3, per_s: Some(1_000_000) };
    for send in [Pace::FULL, paced] {
        let script = Script { body_bytes: 8, send, ..script("head") };
        let tally = driven(&[script.clone(), script], 2, |socket| {
            assert_eq!(take(socket)?, b"headabcabcab");
            socket.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        });
        assert_eq!((tally.clients, tally.begun, tally.completed, tally.content), (2, 2, 2, 2));
        assert_eq!((tally.refusals(), tally.broken, tally.wrong), (0, 0, 0));
    }
}

#[test]
fn a_client_that_is_refused_or_broken_off_is_counted_and_comes_again() {
    static TURN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let script = Script { body_bytes: 8, ..script("head") };
    let tally = driven(&[script], 3, |socket| {
        take(socket)?;
        match TURN.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => socket.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"),
            1 => socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbro"),
            _ => socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"),
        }
    });
    assert_eq!((tally.begun, tally.completed, tally.broken), (3, 1, 1));
    assert_eq!(tally.refused, BTreeMap::from([(503, 1)]));
}

#[test]
fn other_bytes_than_the_expected_ones_are_wrong() {
    let script = Script { body_bytes: 8, expected: Some(Arc::from(*b"good")), ..script("head") };
    let tally = driven(&[script], 1, |socket| {
        take(socket)?;
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoOd")
    });
    assert_eq!((tally.completed, tally.wrong), (0, 1));
}

#[test]
fn a_pace_allows_what_was_given_at_once_and_so_much_a_second() {
    let pace = Pace { at_once: 9_000, per_s: Some(1_000) };
    assert_eq!(pace.allowed(Duration::ZERO), 9_000);
    assert_eq!(pace.allowed(Duration::from_millis(2_500)), 11_500);
    assert_eq!(Pace::FULL.allowed(Duration::ZERO), u64::MAX);
    // A client of 1 KB/s makes one call a second.
    assert_eq!(Pace::of(1_000).least(), 1_000);
    assert_eq!(Pace::of(80_000).least(), 8_000);
}

#[test]
fn what_is_owed_and_not_given_is_counted() {
    let script = Script { body_bytes: 8, owed: Owed::ANSWER, ..script("head") };
    let other = Script { owed: Owed::NOTHING, ..script.clone() };
    let bad = Script { status: Some(400), ..script.clone() };
    let tally = driven_for(SHORT, &[script, other, bad], 3, |socket| {
        take(socket)?;
        socket.write_all(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
    });
    assert_eq!((tally.owed, tally.unanswered, tally.turned_away), (2, 1, 1));
    assert_eq!((tally.content, tally.refusals()), (1, 2));
}

#[test]
fn who_gets_less_of_his_pace_than_is_owed_is_counted() {
    let owed = |share_min| Owed { share_min, ..Owed::PLACE };
    let read = Pace::of(1_000_000);
    let script = Script { body_bytes: 8, read, owed: owed(0.01), ..script("head") };
    let content = Script { owed: owed(0.0), ..script.clone() };
    let tally = driven_for(SHORT, &[script, content], 2, |socket| {
        take(socket)?;
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
    });
    assert_eq!(tally.starved, 1);
}
