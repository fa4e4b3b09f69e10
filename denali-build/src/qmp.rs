//! QEMU's monitor: a client for the few commands we need (QEMU Machine Protocol, qmp-spec).

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long QEMU may take to answer; the monitor serves one client at a time.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Most lines read in search of one answer; events come in between.
const LINES_MAX: usize = 1000;

/// A connection to the monitor of one QEMU.
#[derive(Debug)]
pub struct Monitor {
    reader: BufReader<UnixStream>,
}

impl Monitor {
    /// Connects and negotiates.
    ///
    /// # Errors
    ///
    /// Nobody listens at the socket, or it is not QEMU.
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket)
            .with_context(|| format!("connecting to QEMU at `{}`", socket.display()))?;
        stream
            .set_read_timeout(Some(TIMEOUT))
            .context("setting up the monitor")?;
        stream
            .set_write_timeout(Some(TIMEOUT))
            .context("setting up the monitor")?;
        let mut monitor = Self {
            reader: BufReader::new(stream),
        };
        let greeting = monitor.read()?;
        if greeting.get("QMP").is_none() {
            bail!("`{}` is not QEMU's monitor", socket.display());
        }
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Runs a command of the human monitor and returns what it prints.
    ///
    /// # Errors
    ///
    /// QEMU does not answer or does not know the command.
    pub fn human(&mut self, command_line: &str) -> Result<String> {
        let arguments = json!({ "command-line": command_line });
        let answer = self.execute("human-monitor-command", &arguments)?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Runs two commands of the human monitor with as little between them as can be. Returns what
    /// they print.
    ///
    /// # Errors
    ///
    /// As [`human`](Self::human).
    pub fn human_both(&mut self, command_lines: [&str; 2]) -> Result<[String; 2]> {
        const COMMAND: &str = "human-monitor-command";
        let lines = command_lines.map(|line| {
            let arguments = json!({ "command-line": line });
            format!(
                "{}\n",
                json!({ "execute": COMMAND, "arguments": arguments })
            )
        });
        let stream = self.reader.get_mut();
        stream
            .write_all(lines.concat().as_bytes())
            .context("writing to QEMU's monitor")?;
        let mut answers = [String::new(), String::new()];
        for answer in &mut answers {
            let value = self.answer(COMMAND)?;
            value.as_str().unwrap_or_default().clone_into(answer);
        }
        Ok(answers)
    }

    /// Ends QEMU.
    ///
    /// # Errors
    ///
    /// QEMU does not answer, perhaps because it has ended already.
    pub fn quit(&mut self) -> Result<()> {
        self.execute("quit", &json!({})).map(|_| ())
    }

    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.reader.get_mut(), "{request}").context("writing to QEMU's monitor")?;
        self.answer(command)
    }

    fn answer(&mut self, command: &str) -> Result<Value> {
        for _ in 0..LINES_MAX {
            let mut answer = self.read()?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refuses `{command}`: {error}");
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
        bail!("QEMU does not answer `{command}`")
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        let length = self
            .reader
            .read_line(&mut line)
            .context("reading from QEMU's monitor")?;
        if length == 0 {
            bail!("QEMU closed its monitor");
        }
        serde_json::from_str(&line).context("reading from QEMU's monitor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// Plays QEMU: answers each line received with the next of `answers`.
    fn serve(answers: &'static [&'static str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            for answer in answers {
                writeln!(reader.get_mut(), "{answer}").unwrap();
                reader.read_line(&mut String::new()).unwrap();
            }
        });
        (folder, path)
    }

    #[test]
    fn events_between_question_and_answer_are_skipped() {
        let (_folder, path) = serve(&[
            r#"{"QMP": {"version": {}}}"#,
            r#"{"return": {}}"#,
            "{\"event\": \"RESUME\"}\n{\"return\": \"text\"}",
        ]);
        let mut monitor = Monitor::connect(&path).unwrap();
        assert_eq!(monitor.human("info usernet").unwrap(), "text");
    }

    #[test]
    fn an_error_is_passed_on() {
        let (_folder, path) = serve(&[
            r#"{"QMP": {}}"#,
            r#"{"return": {}}"#,
            r#"{"error": {"class": "GenericError", "desc": "no"}}"#,
        ]);
        let error = Monitor::connect(&path).unwrap().quit().unwrap_err();
        assert!(error.to_string().contains("QEMU refuses `quit`"), "{error}");
    }

    #[test]
    fn a_socket_that_speaks_otherwise_is_named() {
        let (_folder, path) = serve(&[r#"{"hello": 1}"#]);
        let error = Monitor::connect(&path).unwrap_err();
        assert!(
            error.to_string().contains("is not QEMU's monitor"),
            "{error}"
        );
    }
}
