//! The sockets of the scripted provider: reads a request, writes the scripted answer, notes in the
//! tally how far it came. The requests come from an HTTP library, so the reader is simple.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Answered, Framing, Piece, Received, Reply, Shared};

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((socket, _)) = accepted else { continue };
                shared.connections.fetch_add(1, Ordering::AcqRel);
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    // A broken connection ends its task; what it meant stands in the tally.
                    let _ended = connection(socket, &shared).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut socket: TcpStream, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = BytesMut::new();
    while let Some(request) = read_request(&mut socket, &mut buffer).await? {
        let request = note(shared, request);
        let handler = Arc::clone(&shared.handler.lock().unwrap());
        let reply = handler(&request);
        let mut sent = 0;
        let result = write_reply(&mut socket, &reply, &mut sent).await;
        let answer = match &result {
            Ok(_) => Answered::Whole,
            Err(_) => Answered::Abandoned { sent },
        };
        if let Some(entry) = shared.received.lock().unwrap().get_mut(request.seq) {
            entry.answer = answer;
        }
        if !result? {
            return Ok(());
        }
    }
    Ok(())
}

fn note(shared: &Shared, mut request: Received) -> Received {
    let mut received = shared.received.lock().unwrap();
    request.seq = received.len();
    received.push(request.clone());
    request
}

async fn read_request(
    socket: &mut TcpStream,
    buffer: &mut BytesMut,
) -> io::Result<Option<Received>> {
    let head = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break buffer.split_to(at + 4);
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Received {
        seq: 0,
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        body: Bytes::new(),
        answer: Answered::Running,
    };
    let length = request.header("content-length").and_then(|text| text.parse::<usize>().ok());
    request.body = match length {
        Some(length) => {
            fill(socket, buffer, length).await?;
            buffer.split_to(length).freeze()
        }
        None if request.header("transfer-encoding").is_some() => chunks(socket, buffer).await?,
        None => Bytes::new(),
    };
    Ok(Some(request))
}

async fn fill(socket: &mut TcpStream, buffer: &mut BytesMut, length: usize) -> io::Result<()> {
    while buffer.len() < length {
        if socket.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

async fn chunks(socket: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Bytes> {
    let mut body = BytesMut::new();
    loop {
        let line = loop {
            if let Some(at) = buffer.windows(2).position(|two| two == b"\r\n") {
                break buffer.split_to(at + 2);
            }
            fill(socket, buffer, buffer.len() + 1).await?;
        };
        let size = String::from_utf8_lossy(&line);
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        fill(socket, buffer, size + 2).await?;
        body.extend_from_slice(&buffer.split_to(size));
        buffer.advance(2);
        if size == 0 {
            return Ok(body.freeze());
        }
    }
}

/// Writes an answer; `false` where the connection ends with it.
async fn write_reply(socket: &mut TcpStream, reply: &Reply, sent: &mut usize) -> io::Result<bool> {
    for piece in &reply.before_head {
        if !write_piece(socket, piece, reply.framing, sent).await? {
            return Ok(false);
        }
    }
    if reply.framing != Framing::Raw {
        socket.write_all(head(reply).as_bytes()).await?;
    }
    for piece in &reply.pieces {
        if !write_piece(socket, piece, reply.framing, sent).await? {
            return Ok(false);
        }
    }
    if reply.framing == Framing::Chunked {
        socket.write_all(b"0\r\n\r\n").await?;
    }
    socket.flush().await?;
    Ok(true)
}

async fn write_piece(
    socket: &mut TcpStream,
    piece: &Piece,
    framing: Framing,
    sent: &mut usize,
) -> io::Result<bool> {
    match piece {
        Piece::Send(bytes) if bytes.is_empty() => {}
        Piece::Send(bytes) if framing == Framing::Chunked => {
            let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
            chunk.extend_from_slice(bytes);
            chunk.extend_from_slice(b"\r\n");
            socket.write_all(&chunk).await?;
            *sent += 1;
        }
        Piece::Send(bytes) => {
            socket.write_all(bytes).await?;
            *sent += 1;
        }
        Piece::Wait(pause) => {
            tokio::select! {
                () = tokio::time::sleep(*pause) => {}
                error = gone(socket) => return Err(error),
            }
        }
        Piece::Gate(gate) => {
            tokio::select! {
                () = gate.pass() => {}
                error = gone(socket) => return Err(error),
            }
        }
        Piece::Reset => {
            socket.set_zero_linger()?;
            return Ok(false);
        }
        Piece::Close => return Ok(false),
        Piece::Hang => return Err(gone(socket).await),
    }
    Ok(true)
}

/// Resolves when the peer has closed or reset the connection.
async fn gone(socket: &TcpStream) -> io::Error {
    let mut byte = [0];
    match socket.peek(&mut byte).await {
        Ok(0) => io::ErrorKind::ConnectionAborted.into(),
        Err(error) => error,
        // The peer has sent more, which it may; then it is not gone.
        Ok(_) => std::future::pending().await,
    }
}

fn head(reply: &Reply) -> String {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    match reply.framing {
        Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n\r\n"),
        Framing::Length(length) => {
            head.push_str("content-length: ");
            head.push_str(&length.to_string());
            head.push_str("\r\n\r\n");
        }
        Framing::Raw => {}
    }
    head
}
