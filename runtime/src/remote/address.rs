//! Where to run: `ssh:[USER@]HOST[:PORT]`, `adb:SERIAL`, or `local`.

use gtn_core::Error;
use std::fmt;
use std::str::FromStr;

/// This is the address of a machine. Nothing in it can be taken for an option by `ssh` or `adb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// By the system's ssh, whose configuration file holds.
    Ssh {
        /// Who to be there.
        user: Option<String>,
        /// Name, address, or an alias from ssh's configuration; an IPv6 address without its brackets.
        host: String,
        /// Other than ssh's default.
        port: Option<u16>,
    },
    /// A phone or board by the system's adb.
    Adb {
        /// As `adb devices` lists it.
        serial: String,
    },
    /// This machine, as any other: by a shell of its own.
    Local,
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |what: &str| Error::usage(format!("`{text}`: {what}"));
        if text == "local" {
            return Ok(Self::Local);
        }
        if let Some(serial) = text.strip_prefix("adb:") {
            if !plain(serial, "._:-") {
                return Err(bad("wanted adb:SERIAL, as `adb devices` lists it"));
            }
            return Ok(Self::Adb { serial: serial.into() });
        }
        let wanted = "wanted ssh:[USER@]HOST[:PORT] (an IPv6 address in brackets), adb:SERIAL or local";
        let rest = text.strip_prefix("ssh:").ok_or_else(|| bad(wanted))?;
        let (user, rest) = rest.split_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        let (host, port, marks) = match rest.strip_prefix('[') {
            Some(inside) => {
                let (host, port) = inside.split_once(']').ok_or_else(|| bad(wanted))?;
                let port = (!port.is_empty()).then(|| port.strip_prefix(':').unwrap_or("none"));
                (host, port, ":.%-_")
            }
            None => rest.split_once(':').map_or((rest, None, "._-"), |(h, p)| (h, Some(p), "._-")),
        };
        if user.is_some_and(|user| !plain(user, "._+-")) || !plain(host, marks) {
            return Err(bad(wanted));
        }
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port @ 1..)) => Some(port),
            Some(_) => return Err(bad("the port is not a number from 1 to 65535")),
        };
        Ok(Self::Ssh { user: user.map(Into::into), host: host.into(), port })
    }
}

/// Letters, digits and these marks; not empty, and no option (`-oProxyCommand=...` has been one).
fn plain(text: &str, marks: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(fits)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adb { serial } => write!(f, "adb:{serial}"),
            Self::Local => f.write_str("local"),
            Self::Ssh { user, host, port } => {
                let user = user.as_ref().map_or(String::new(), |user| format!("{user}@"));
                let port = port.map_or(String::new(), |port| format!(":{port}"));
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "ssh:{user}{open}{host}{close}{port}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in [
            "ssh:pi5",
            "ssh:pi@raspberrypi.local",
            "ssh:pi@10.0.0.7:2222",
            "ssh:[fe80::1%eth0]:22",
            "ssh:me@[::1]",
            "adb:R5CT30ABCDE",
            "adb:192.168.1.5:5555",
            "adb:emulator-5554",
            "local",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_could_be_an_option_or_a_command_is_refused() {
        for text in [
            "",
            "pi5",
            "ssh:",
            "adb:",
            "ssh:-oProxyCommand=x",
            "ssh:-l@host",
            "ssh:@host",
            "ssh:a b",
            "ssh:h;reboot",
            "ssh:$(x)",
            "ssh:h:0",
            "ssh:h:65536",
            "ssh:h:",
            "ssh:h:-1",
            "ssh:::1",
            "ssh:[::1",
            "ssh:[::1]22",
            "ssh:[-x]",
            "ssh:a@b@c",
            "ssh:h\n",
            "adb:-s",
            "adb:a b",
            "adb:a;b",
            "usb:x",
            "local:",
            "Local",
        ] {
            assert_eq!(text.parse::<Address>().map_err(|e| e.exit_code()), Err(2), "{text}");
        }
    }
}
