//! Record types, classes and response codes by number, with the names the field uses.

use std::fmt;

/// The Internet class.
pub const CLASS_IN: u16 = 1;
/// The Chaos class, which carries `version.bind` and its kin.
pub const CLASS_CH: u16 = 3;
/// QCLASS `*` (RFC 1035 section 3.2.5).
pub const CLASS_ANY: u16 = 255;

/// The transport a message came by, which bounds the answer. DoT and DoH are TCP here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs)]
pub enum Transport {
    Udp,
    Tcp,
}

/// A record or question type (RFC 1035 section 3.2.2 and the IANA registry). Unknown numbers are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordType(pub u16);

macro_rules! record_types {
    ($($name:ident = $number:literal),+ $(,)?) => {
        impl RecordType {
            $(#[allow(missing_docs)] pub const $name: RecordType = RecordType($number);)+

            /// The mnemonic of a known type, `None` for the rest.
            pub const fn mnemonic(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)+ _ => None }
            }

            /// The type of a mnemonic in any case, or of RFC 3597's `TYPE123`.
            pub fn from_mnemonic(text: &str) -> Option<RecordType> {
                let upper = text.to_ascii_uppercase();
                match upper.as_str() {
                    $(stringify!($name) => Some(RecordType::$name),)+
                    other => other.strip_prefix("TYPE")?.parse().ok().map(RecordType),
                }
            }
        }
    };
}

record_types! {
    A = 1, NS = 2, MD = 3, MF = 4, CNAME = 5, SOA = 6, MB = 7, MG = 8, MR = 9, NULL = 10, PTR = 12, HINFO = 13,
    MINFO = 14, MX = 15, TXT = 16, RP = 17, AFSDB = 18, X25 = 19, ISDN = 20, RT = 21, SIG = 24, KEY = 25, PX = 26,
    GPOS = 27, AAAA = 28, LOC = 29, NXT = 30, EID = 31, NIMLOC = 32, SRV = 33, ATMA = 34, NAPTR = 35, KX = 36,
    CERT = 37, DNAME = 39, OPT = 41, APL = 42, DS = 43, SSHFP = 44, IPSECKEY = 45, RRSIG = 46, NSEC = 47,
    DNSKEY = 48, DHCID = 49, NSEC3 = 50, NSEC3PARAM = 51, TLSA = 52, SMIMEA = 53, HIP = 55, NINFO = 56, RKEY = 57,
    TALINK = 58, CDS = 59, CDNSKEY = 60, OPENPGPKEY = 61, CSYNC = 62, ZONEMD = 63, SVCB = 64, HTTPS = 65, SPF = 99,
    UINFO = 100, UID = 101, GID = 102, UNSPEC = 103, NID = 104, L32 = 105, L64 = 106, LP = 107, EUI48 = 108,
    EUI64 = 109, TKEY = 249, TSIG = 250, IXFR = 251, AXFR = 252, MAILB = 253, MAILA = 254, ANY = 255, URI = 256,
    CAA = 257, AVC = 258, AMTRELAY = 260, RESINFO = 261, TA = 32768, DLV = 32769,
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(name) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A response code; the low four bits stand in the header, the rest in OPT (RFC 6891 section 6.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rcode(pub u16);

macro_rules! rcodes {
    ($($name:ident = $number:literal),+ $(,)?) => {
        impl Rcode {
            $(#[allow(missing_docs)] pub const $name: Rcode = Rcode($number);)+

            /// The mnemonic of a known code, `None` for the rest.
            pub const fn mnemonic(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)+ _ => None }
            }

            /// The code of a mnemonic in any case.
            pub fn from_mnemonic(text: &str) -> Option<Rcode> {
                match text.to_ascii_uppercase().as_str() {
                    $(stringify!($name) => Some(Rcode::$name),)+
                    // What CoreDNS's manuals call them (RFC 8945 has the same number as RFC 6891).
                    "BADSIG" => Some(Rcode::BADVERS),
                    "NOTIMPL" => Some(Rcode::NOTIMP),
                    _ => None,
                }
            }
        }
    };
}

rcodes! {
    NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5, YXDOMAIN = 6, YXRRSET = 7,
    NXRRSET = 8, NOTAUTH = 9, NOTZONE = 10, BADVERS = 16, BADKEY = 17, BADTIME = 18, BADMODE = 19, BADNAME = 20,
    BADALG = 21, BADTRUNC = 22, BADCOOKIE = 23,
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
