//! What picoserve needs to know of its runtime: sockets and a timer.

use denali_rt::io::{self, ErrorType};
use denali_rt::net::Shutdown;
use denali_rt::task;
use denali_rt::task::net::TcpStream;
use picoserve::io::embedded_io_async::{Read, Write as BaseWrite};
use picoserve::mem::{BorrowedBuffer, BorrowedCursor};
use picoserve::time::Duration;
use picoserve::{Error, Timeouts, Timer};

/// Bytes picoserve writes at once.
const CHUNK_LEN: usize = 1024;

/// The name of this runtime to picoserve, and its timer.
pub(crate) struct Denali;

impl Timer<Self> for Denali {
    async fn delay(&self, duration: Duration) {
        task::sleep(core::time::Duration::from_millis(duration.as_millis())).await;
    }
}

/// A connection as picoserve wants it.
pub(crate) struct Socket(TcpStream);

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(stream)
    }
}

/// Either half of a connection.
pub(crate) struct Half<'a>(&'a TcpStream);

impl ErrorType for Half<'_> {
    type Error = io::Error;
}

impl Read for Half<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await
    }
}

impl BaseWrite for Half<'_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl picoserve::io::Write for Half<'_> {
    async fn write_with<F: FnOnce(BorrowedCursor<'_>) -> R, R>(&mut self, f: F) -> io::Result<R> {
        let mut chunk = [0; CHUNK_LEN];
        let mut chunk = BorrowedBuffer::new(&mut chunk);
        let result = f(chunk.unfilled());
        self.write_all(chunk.filled()).await?;
        Ok(result)
    }
}

impl picoserve::io::Socket<Denali> for Socket {
    type Error = io::Error;
    type ReadHalf<'a> = Half<'a>;
    type WriteHalf<'a> = Half<'a>;

    fn split(&mut self) -> (Half<'_>, Half<'_>) {
        (Half(&self.0), Half(&self.0))
    }

    async fn abort<T: Timer<Denali>>(self, _: &Timeouts, _: &T) -> Result<(), Error<io::Error>> {
        // Dropping the stream ends the connection.
        Ok(())
    }

    async fn shutdown<T: Timer<Denali>>(
        self,
        timeouts: &Timeouts,
        timer: &T,
    ) -> Result<(), Error<io::Error>> {
        // A peer that has gone already is no error any more.
        self.0.shutdown(Shutdown::Write).unwrap_or_default();
        let mut rest = [0; 128];
        loop {
            let read = timer.run_with_timeout(timeouts.read_request, self.0.read(&mut rest));
            match read
                .await
                .map_err(Error::ReadTimeout)?
                .map_err(Error::Read)?
            {
                0 => return Ok(()),
                _ => continue,
            }
        }
    }
}
