//! One call of gRPC with one answer: a request of HTTP/2 over a Unix socket.

use std::path::Path;
use std::time::Duration;

use prost::Message;
use prost::bytes::{BufMut, Bytes, BytesMut};
use tokio::net::UnixStream;

use corten_testkit::patience;

/// What a service says of an error: its code, and the message.
#[derive(Debug)]
pub struct Refusal {
    pub code: String,
    pub message: String,
}

/// Calls a method, such as `RuntimeService/Version`, over a connection of its own.
pub fn call<Q: Message, A: Message + Default>(socket: &Path, method: &str, query: &Q) -> Result<A, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limit: Duration = patience(120);
    let answer = runtime.block_on(async { tokio::time::timeout(limit, ask(socket, method, query)).await });
    let (headers, body) = answer.unwrap_or_else(|_| panic!("{method}: no answer")).unwrap();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match header("grpc-status") {
        // A byte that says whether it is compressed, and the length.
        "0" => Ok(A::decode(body.get(5..).unwrap_or_default()).unwrap()),
        code => Err(Refusal { code: code.to_owned(), message: decoded(header("grpc-message")) }),
    }
}

/// The headers of the answer, those at its end among them, and what is between them.
async fn ask<Q: Message>(
    socket: &Path,
    method: &str,
    query: &Q,
) -> Result<(http::HeaderMap, Vec<u8>), Box<dyn std::error::Error>> {
    let (mut client, connection) = h2::client::handshake(UnixStream::connect(socket).await?).await?;
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://localhost/runtime.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (response, mut stream) = client.send_request(request, false)?;
    stream.send_data(framed(query), true)?;
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await.transpose()? {
        body.flow_control().release_capacity(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    let mut headers = head.headers;
    headers.extend(body.trailers().await?.unwrap_or_default());
    Ok((headers, bytes))
}

fn framed(query: &impl Message) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(query.encoded_len()).unwrap());
    query.encode(&mut frame).unwrap();
    frame.freeze()
}

/// A message without its percent signs.
fn decoded(message: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = message.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let value = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
