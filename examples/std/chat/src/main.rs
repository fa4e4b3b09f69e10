//! A chat room over WebSocket: what one says, all hear.

use denali_std as _;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Sender};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Result, Utf8Bytes};

const PORT: u16 = 7010;

/// Most bytes of a message.
const MESSAGE_MAX: usize = 4096;

/// Messages kept for those who are slow to hear; who falls behind further misses some.
const BACKLOG: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    println!("listening on port {PORT}");
    let room = Sender::new(BACKLOG);
    loop {
        let (stream, address) = listener.accept().await?;
        let room = room.clone();
        tokio::spawn(async move {
            if let Err(error) = attend(stream, room).await {
                eprintln!("{address}: {error}");
            }
        });
    }
}

/// Passes on what a guest says, and tells it what the others say, until it leaves.
async fn attend(stream: TcpStream, room: Sender<Utf8Bytes>) -> Result<()> {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX))
        .read_buffer_size(MESSAGE_MAX)
        .write_buffer_size(0);
    let mut socket = accept_async_with_config(stream, Some(limits)).await?;
    let mut heard: broadcast::Receiver<Utf8Bytes> = room.subscribe();
    loop {
        tokio::select! {
            said = socket.next() => match said.transpose()? {
                Some(Message::Text(text)) => {
                    // Somebody hears it: its own receiver is there.
                    room.send(text).ok();
                }
                Some(Message::Close(_)) | None => return Ok(()),
                Some(_) => (),
            },
            text = heard.recv() => match text {
                Ok(text) => socket.send(Message::Text(text)).await?,
                Err(RecvError::Lagged(missed)) => {
                    let note = format!("({missed} messages missed)");
                    socket.send(Message::text(note)).await?;
                }
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}
