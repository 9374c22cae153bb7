//! A fake of a pooler, or of an old server, in front of a real server.

use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// What the fake does with sessions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Each has its connection to the server.
    Session,
    /// As `Session`, without the settings that the client asks for.
    NoSettings,
    /// Refuses such settings, as PgBouncer does by default.
    RejectsSettings,
    /// All take turns with one connection to the server.
    Transactions,
}

/// The running fake.
pub struct Fake {
    pub url: String,
    _serving: JoinSet<()>,
}

impl Fake {
    /// Starts a fake that claims this version.
    pub async fn start(server: &PgConnectOptions, mode: Mode, version: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (user, database) = (server.get_username(), server.get_database().unwrap());
        let address = listener.local_addr().unwrap();
        let url = format!("postgres://{user}@{address}/{database}?sslmode=disable");
        let startup = format!("user\0{user}\0database\0{database}\0\0");
        let socket = server.get_socket().unwrap().join(format!(".s.PGSQL.{}", server.get_port()));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let (mut clients, mut shared) = (JoinSet::new(), None);
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let asked = read_startup(&mut client).await;
                if mode == Mode::RejectsSettings {
                    let fields = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0";
                    client.write_all(&message(b'E', fields)).await.unwrap();
                    continue;
                }
                let mut server = UnixStream::connect(&socket).await.unwrap();
                let startup =
                    if mode == Mode::Session { asked } else { startup.clone().into_bytes() };
                if mode == Mode::Transactions && shared.is_some() {
                    drop(server);
                } else {
                    open(&mut server, &startup).await;
                    shared = Some(Arc::new(Mutex::new(server)));
                }
                greet(&mut client, version).await;
                clients.spawn(forward(client, shared.clone().unwrap(), mode));
            }
        });
        Self { url, _serving: serving }
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], &length[..], body].concat()
}

/// Parameters of a startup message.
async fn read_startup(client: &mut TcpStream) -> Vec<u8> {
    let length = client.read_u32().await.unwrap();
    let _version = client.read_u32().await.unwrap();
    let mut parameters = vec![0; length as usize - 8];
    client.read_exact(&mut parameters).await.unwrap();
    parameters
}

/// Starts a session at the server.
async fn open(server: &mut UnixStream, parameters: &[u8]) {
    let length = u32::try_from(parameters.len() + 8).unwrap().to_be_bytes();
    let version = 0x0003_0000_u32.to_be_bytes();
    server.write_all(&[&length, &version, parameters].concat()).await.unwrap();
    while read_message(server).await.0 != b'Z' {}
}

async fn read_message(stream: &mut (impl AsyncReadExt + Unpin)) -> (u8, Vec<u8>) {
    let kind = stream.read_u8().await.unwrap_or(b'X');
    let length = stream.read_u32().await.unwrap_or(4);
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body).await.unwrap();
    (kind, body)
}

/// Tells a client that its session has started.
async fn greet(client: &mut TcpStream, version: &str) {
    let number: u32 = version.parse().unwrap();
    let version = format!("server_version\0{}.{}\0", number / 10_000, number % 10_000);
    let greeting = [
        message(b'R', &[0; 4]),
        message(b'S', version.as_bytes()),
        message(b'K', &[0; 8]),
        message(b'Z', b"I"),
    ];
    client.write_all(&greeting.concat()).await.unwrap();
}

async fn forward(mut client: TcpStream, server: Arc<Mutex<UnixStream>>, mode: Mode) {
    if mode != Mode::Transactions {
        _ = copy_bidirectional(&mut client, &mut *server.lock().await).await;
        return;
    }
    loop {
        let (kind, body) = read_message(&mut client).await;
        if kind != b'Q' {
            return;
        }
        let mut server = server.lock().await;
        server.write_all(&message(kind, &body)).await.unwrap();
        loop {
            let (kind, body) = read_message(&mut *server).await;
            client.write_all(&message(kind, &body)).await.unwrap();
            if kind == b'Z' {
                break;
            }
        }
    }
}
