//! Real listeners: the network, the local socket, and the
//! end of both. Must never depend on a port that is free by
//! luck.

use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;

use super::*;
use crate::net;

async fn get<S>(stream: S, path: &str) -> (u16, String)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::builder().uri(path).header("host", "x").body(Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    drop(sender);
    let _ = driver.await;
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn the_local_socket_is_an_admin_and_the_network_is_nobody() {
    let mut face = face().await;
    let mut binding = net::Binding::bind(([127, 0, 0, 1], 0).into(), 1, None).unwrap();
    let address = binding.address();
    let (socket, tls) = binding.take().unwrap();
    let path = face.folder.path().join("sealgate.sock");
    let doors = Doors {
        network: Some(net::Accepted::new(socket, tls).unwrap()),
        local: Some(LocalSocket::bind(&path).unwrap()),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let admin = Admin { house: Arc::clone(&face.admin.house) };
    let serving = tokio::spawn(admin.serve(doors, async {
        let _ = stopped.await;
    }));

    let local = get(UnixStream::connect(&path).await.unwrap(), "/api/v1/admin/api-keys").await;
    assert_eq!(local.0, 200, "{}", local.1);
    let network = get(TcpStream::connect(address).await.unwrap(), "/api/v1/admin/api-keys").await;
    assert_eq!(network.0, 401);
    let network = get(TcpStream::connect(address).await.unwrap(), "/healthz").await;
    assert_eq!(network.0, 200);

    // An idle connection does not hold up the end.
    let idle = TcpStream::connect(address).await.unwrap();
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap();
    drop(idle);
    assert!(!path.exists(), "the socket's name went with it");
    assert!(TcpStream::connect(address).await.is_err());
    let trail = face.admin.house.ledger.clone();
    assert!(trail.flush().await);
    let page = trail.query(&ledger::Filter::default(), 10, None).await.unwrap();
    let actors: Vec<&str> = page.items.iter().map(|record| record.actor.kind.as_str()).collect();
    assert_eq!(actors, ["guest", "local"]);
    face.writer.abort();
    face.writer = tokio::spawn(async {});
}
