use super::*;

const NOW: u64 = 1_700_000_000;

fn key(name: &str) -> Arc<Key> {
    Arc::new(Key::new(Name::from_text(name).unwrap(), Algorithm::Sha256, b"a secret of some length".to_vec()))
}

fn query() -> Vec<u8> {
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04held\x04test\x00\x00\xfc\x00\x01".to_vec()
}

fn accepted(packet: &[u8], key: Arc<Key>, now: u64) -> Result<Exchange, (Wrong, bool)> {
    let (tsig, stripped) = take(packet).unwrap().unwrap();
    let algorithm = Algorithm::from_name(&tsig.algorithm).unwrap();
    Exchange::accept(key, algorithm, &tsig, &stripped, now).map_err(|(wrong, signed)| (wrong, signed.is_some()))
}

/// RFC 8945 has no vectors: these are the octets that its section 4.3.3 lists, by hand.
#[test]
fn the_octets_that_are_signed_are_the_rfc_s() {
    let mut packet = query();
    Exchange::begin(key("k.test"), &mut packet, NOW);
    let (tsig, stripped) = take(&packet).unwrap().unwrap();
    assert_eq!(stripped, query());
    let mut signed = query();
    signed.extend(b"\x01k\x04test\x00\x00\xff\x00\x00\x00\x00\x0bhmac-sha256\x00");
    signed.extend(b"\x00\x00\x65\x53\xf1\x00\x01\x2c\x00\x00\x00\x00");
    assert_eq!(tsig.mac, Algorithm::Sha256.mac(b"a secret of some length", &[&signed]));
}

#[test]
fn a_request_and_the_messages_of_its_answer_are_signed_and_verified() {
    for algorithm in ["hmac-md5", "hmac-sha1", "hmac-sha224.", "HMAC-SHA256", "hmac-sha384", "hmac-sha512"] {
        let algorithm = Algorithm::from_word(algorithm).unwrap();
        let key = Arc::new(Key::new(Name::from_text("K.test").unwrap(), algorithm, b"secret".to_vec()));
        let mut request = query();
        let mut client = Exchange::begin(key.clone(), &mut request, NOW);
        let mut server = accepted(&request, key, NOW + 300).unwrap();
        for number in 0..3 {
            let mut answer = [&query()[..2], b"\x84", &query()[3..]].concat();
            let plain = answer.clone();
            server.sign(&mut answer, NOW);
            assert!(answer.len() <= plain.len() + server.octets());
            assert_eq!(client.verify(&answer, NOW).as_ref(), Ok(&plain), "{algorithm:?} {number}");
            assert!(client.is_complete());
        }
    }
}

#[test]
fn messages_between_may_be_unsigned_but_not_the_first_and_not_too_many() {
    let mut request = query();
    let client = Exchange::begin(key("k"), &mut request, NOW);
    let mut server = accepted(&request, key("k"), NOW).unwrap();
    let mut first = query();
    assert_eq!(client.clone().verify(&first, NOW), Err(Wrong::Form));
    server.sign(&mut first, NOW);
    let mut client = client;
    client.verify(&first, NOW).unwrap();
    // What a server that signs the third message alone would send.
    let mut third = query();
    let mac_over = [query(), third.clone()].concat();
    client.verify(&query(), NOW).unwrap();
    assert!(!client.is_complete());
    let mut tsig = take(&first).unwrap().unwrap().0;
    tsig.mac = server.mac(&[&mac_over, &tsig.times()]);
    tsig.append_to(&mut third);
    client.verify(&third, NOW).unwrap();
    assert!(client.is_complete());
    for _ in 0..MOST_UNSIGNED {
        client.verify(&query(), NOW).unwrap();
    }
    assert_eq!(client.verify(&query(), NOW), Err(Wrong::Form));
}

#[test]
fn what_is_wrong_is_told_apart() {
    let mut request = query();
    let mut client = Exchange::begin(key("k"), &mut request, NOW);
    let other = Arc::new(Key::new(Name::from_text("k").unwrap(), Algorithm::Sha256, b"another".to_vec()));
    let code = |packet: &[u8], key, now| accepted(packet, key, now).err();
    assert_eq!(code(&request, other, NOW), Some((Wrong::Code(BADSIG), false)));
    assert_eq!(code(&request, key("k"), NOW + 301), Some((Wrong::Code(Rcode::BADTIME), true)));
    let mut changed = request.clone();
    changed[13] ^= 1;
    assert_eq!(code(&changed, key("k"), NOW), Some((Wrong::Code(BADSIG), false)));
    for (octets, wrong) in [(16, Some((Wrong::Code(Rcode::BADTRUNC), true))), (15, Some((Wrong::Form, false)))] {
        let (mut tsig, mut cut) = take(&request).unwrap().unwrap();
        tsig.mac.truncate(octets);
        tsig.append_to(&mut cut);
        assert_eq!(code(&cut, key("k"), NOW), wrong);
    }
    // A server that does not know the key says so.
    let mut answer = query();
    append_unsigned(&mut answer, &take(&request).unwrap().unwrap().0, Rcode::BADKEY);
    assert_eq!(client.verify(&answer, NOW), Err(Wrong::Code(Rcode::BADKEY)));
    // BADTIME is signed, with the server's time beside the client's.
    let (tsig, stripped) = take(&request).unwrap().unwrap();
    let (_, server) = Exchange::accept(key("k"), Algorithm::Sha256, &tsig, &stripped, NOW + 1000).err().unwrap();
    let mut answer = query();
    server.unwrap().sign_error(&mut answer, &tsig, Rcode::BADTIME, NOW + 1000);
    let said = take(&answer).unwrap().unwrap().0;
    assert_eq!((said.signed_at, said.other), (NOW, (NOW + 1000).to_be_bytes()[2..].to_vec()));
}

#[test]
fn a_tsig_stands_last_and_once() {
    let mut request = query();
    Exchange::begin(key("k"), &mut request, NOW);
    assert_eq!(take(&query()), Ok(None));
    let mut twice = request.clone();
    Exchange::begin(key("k"), &mut twice, NOW);
    assert_eq!(take(&twice), Err(Malformed));
    for end in 0..request.len() {
        assert_eq!(take(&request[..end]), Err(Malformed), "{end}");
    }
}

#[test]
fn a_key_does_not_show_its_secret() {
    assert_eq!(format!("{:?}", key("k.test")), "the key k.test. for hmac-sha256.");
}
