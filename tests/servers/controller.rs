//! A controller as the apps behave towards the servers: asks for a punch hole, verifies keys, connects, relays.

use std::net::SocketAddr;
use std::time::Duration;

use kvmdesk::crypto::identity::{BoxKeyPair, verify};
use kvmdesk::crypto::seal::SessionKey;
use kvmdesk::net::stream::{MessageReader, MessageStream, MessageWriter};
use kvmdesk::wire::frame::{self, MAX_AFTER_LOGIN};
use kvmdesk::wire::message::hbb::rendezvous_message::Union;
use kvmdesk::wire::message::{decode_message, decode_rendezvous, encode_message, encode_rendezvous, hbb};
use prost::Message as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::device::{ID, identity};
use super::lab::{HBBR, HBBS};

pub const ASYMMETRIC: i32 = 1;
pub const SYMMETRIC: i32 = 2;
const PATIENCE: Duration = Duration::from_secs(120);

pub async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("nothing happened for two minutes")
}

/// A connection to hbbs, from an address that is used again.
pub struct Line {
    pub local: SocketAddr,
    reader: MessageReader,
    writer: MessageWriter,
}

fn reusable() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket
}

impl Line {
    pub async fn open() -> Self {
        Self::open_from("0.0.0.0:0".parse().unwrap()).await
    }

    /// From an address that was used before: to hbbs, the same controller again.
    pub async fn open_from(local: SocketAddr) -> Self {
        let socket = reusable();
        socket.bind(local).unwrap();
        let stream = within(socket.connect(HBBS.parse().unwrap())).await.unwrap();
        let local = stream.local_addr().unwrap();
        let (reader, writer) = MessageStream::from_tcp(stream).unwrap().split();
        Self { local, reader, writer }
    }

    pub async fn send(&mut self, union: Union) {
        self.writer.send(&[&encode_rendezvous(union)]).await.unwrap();
    }

    pub async fn ask(&mut self, id: &str, key: &str, nat: i32) {
        self.send(Union::PunchHoleRequest(hbb::PunchHoleRequest {
            id: id.into(),
            licence_key: key.into(),
            nat_type: nat,
            version: "1.4.9".into(),
            ..Default::default()
        }))
        .await;
    }

    pub async fn answer(&mut self) -> Union {
        let payload = within(self.reader.next()).await.unwrap().expect("hbbs closed without an answer");
        decode_rendezvous(&payload).unwrap().union.unwrap()
    }

    /// The punch answer; a relay answer fails the test.
    pub async fn punched(&mut self) -> hbb::PunchHoleResponse {
        match self.answer().await {
            Union::PunchHoleResponse(m) => m,
            other => panic!("no PunchHoleResponse but {other:?}"),
        }
    }

    /// The relay answer; a punch answer fails the test.
    pub async fn relayed(&mut self) -> hbb::RelayResponse {
        match self.answer().await {
            Union::RelayResponse(m) => m,
            other => panic!("no RelayResponse but {other:?}"),
        }
    }

    /// Ends the line and connects from its address, as the apps do.
    pub async fn dial(self, to: SocketAddr) -> std::io::Result<MessageStream> {
        let local = self.local;
        drop((self.reader, self.writer));
        let socket = reusable();
        socket.bind(local)?;
        MessageStream::from_tcp(within(socket.connect(to)).await?)
    }
}

/// Asks once, with everything usual.
pub async fn ask(key: &str, nat: i32) -> Line {
    let mut line = Line::open().await;
    line.ask(ID, key, nat).await;
    line
}

/// Checks the key that hbbs signed: it is the device's.
pub fn check_signed_key(pk: &[u8], server_key: &str) {
    let server_key: [u8; 32] = base64(server_key).try_into().unwrap();
    let signed = verify(pk, &server_key).expect("hbbs signed the key");
    let id_pk = hbb::IdPk::decode(&signed[..]).unwrap();
    assert_eq!((id_pk.id.as_str(), id_pk.pk), (ID, identity().public_key().to_vec()));
}

fn base64(text: &str) -> Vec<u8> {
    const TABLE: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut count) = (vec![], 0u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        bits = bits << 6 | TABLE.iter().position(|t| *t == c).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// The box key of a SignedId of our device.
pub fn box_key(signed_id: &[u8]) -> [u8; 32] {
    let Some(hbb::message::Union::SignedId(m)) = decode_message(signed_id).unwrap().union else {
        panic!("no SignedId");
    };
    let id_pk = hbb::IdPk::decode(&verify(&m.id, &identity().public_key()).unwrap()[..]).unwrap();
    assert_eq!(id_pk.id, ID);
    id_pk.pk.try_into().unwrap()
}

/// PublicKey and the session key that it carries.
pub fn public_key(to: &[u8; 32]) -> (Vec<u8>, SessionKey) {
    let ours = BoxKeyPair::from_secret(&[0x22; 32]);
    let message = hbb::PublicKey {
        asymmetric_value: ours.public_key().to_vec(),
        symmetric_value: ours.seal_session_key(&[0x33; 32], to),
    };
    (encode_message(hbb::message::Union::PublicKey(message)), SessionKey::from_bytes([0x33; 32]))
}

/// Makes the sealed handshake and has one message echoed.
pub async fn talk(stream: MessageStream) -> (MessageReader, MessageWriter) {
    let (mut reader, mut writer) = stream.split();
    let signed_id = within(reader.next()).await.unwrap().expect("SignedId comes first");
    let (message, key) = public_key(&box_key(&signed_id));
    writer.send(&[&message]).await.unwrap();
    reader.seal(key.clone());
    writer.seal(key);
    reader.set_limit(MAX_AFTER_LOGIN);
    echo(&mut reader, &mut writer, b"hello").await;
    (reader, writer)
}

/// Has one payload echoed.
pub async fn echo(reader: &mut MessageReader, writer: &mut MessageWriter, payload: &[u8]) {
    writer.send(&[payload]).await.unwrap();
    assert_eq!(within(reader.next()).await.unwrap().unwrap(), payload);
}

/// Connects to hbbr and names a meeting.
pub async fn meet(uuid: &str, key: &str) -> MessageStream {
    let mut stream = within(TcpStream::connect(HBBR)).await.unwrap();
    stream.write_all(&frame::encode(&relay_request(uuid, key)).unwrap()).await.unwrap();
    MessageStream::from_tcp(stream).unwrap()
}

/// RequestRelay as it opens a relay connection.
pub fn relay_request(uuid: &str, key: &str) -> Vec<u8> {
    encode_rendezvous(Union::RequestRelay(hbb::RequestRelay {
        id: ID.into(),
        uuid: uuid.into(),
        licence_key: key.into(),
        ..Default::default()
    }))
}

/// Asks the device, through hbbs, to come to the relay.
pub async fn request_relay(uuid: &str, is_secure: bool) -> hbb::RelayResponse {
    let mut line = Line::open().await;
    line.send(Union::RequestRelay(hbb::RequestRelay {
        id: ID.into(),
        uuid: uuid.into(),
        relay_server: "10.77.0.1".into(),
        secure: is_secure,
        ..Default::default()
    }))
    .await;
    line.relayed().await
}

/// A listener on an address that a line uses.
pub fn listen_shared(local: SocketAddr) -> TcpListener {
    let socket = reusable();
    socket.bind(local).unwrap();
    socket.listen(8).unwrap()
}
