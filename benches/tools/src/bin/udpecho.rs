//! The floor and the upstream: answers every datagram on a UDP port of 127.0.0.1, in batches.
//!
//! Bare, the answer is the datagram with the QR bit set: what a DNS server costs that does nothing. With `--answer` it is
//! a real one, an A record of 192.0.2.1 for a question of type A and NODATA for others: something to forward to.

use dunlin_bench_tools::arguments::Arguments;
use dunlin_bench_tools::batch::{Batch, ROOM};
use dunlin_bench_tools::questions::{HEADER, question_end};
use std::net::UdpSocket;

/// As many as the server takes at a time.
const BATCH: usize = 64;
/// The question's name, A, IN, 300 s, four octets.
const RECORD: [u8; 16] = [0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1];

fn main() -> std::io::Result<()> {
    let arguments = Arguments::read("udpecho PORT [--answer]", &["answer"]);
    let socket = UdpSocket::bind(("127.0.0.1", arguments.word(0)))?;
    let answers = arguments.switch("answer");
    let mut batch = Batch::new(BATCH);
    loop {
        let count = batch.receive(&socket);
        for index in 0..count {
            let len = batch.packet(index).len();
            let len = if answers { answer(batch.room(index), len) } else { echo(batch.room(index), len) };
            batch.set_len(index, len);
        }
        let mut sent = batch.send(&socket, count, true);
        while sent == 0 && count > 0 {
            sent = batch.send(&socket, count, true);
        }
    }
}

fn echo(packet: &mut [u8], len: usize) -> usize {
    if len > 2 {
        packet[2] |= 0x80;
    }
    len
}

/// Turns the query of `len` octets into its answer, and returns the answer's length.
fn answer(packet: &mut [u8; ROOM], len: usize) -> usize {
    let Some(end) = question_end(&packet[..len]) else { return echo(packet, len) };
    let is_address = packet[end - 4..end] == [0, 1, 0, 1];
    // QR, RA and the query's RD; one question, no OPT.
    packet[2] = 0x80 | packet[2] & 0x01;
    packet[3] = 0x80;
    packet[4..HEADER].copy_from_slice(&[0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    if !is_address {
        return end;
    }
    packet[end..end + RECORD.len()].copy_from_slice(&RECORD);
    end + RECORD.len()
}
