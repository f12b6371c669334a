//! A CH9329 in software: takes what a serial line brings, answers as the chip does, keeps what its computer saw.
//! Knows nothing of the code under test; used by it and by the tests of the whole.

/// The chip.
#[derive(Debug, Clone)]
pub struct ScriptedChip {
    /// The rate it listens and talks at.
    pub baud: u32,
    /// Without power it neither hears nor answers.
    pub is_powered: bool,
    /// Whether a computer has taken it.
    pub is_connected: bool,
    /// Its computer's LEDs; lock keys change them.
    pub leds: u8,
    /// What its computer saw: command and data, each change once.
    pub seen: Vec<(u8, Vec<u8>)>,
    /// Whole commands that it heard, by code.
    pub heard: Vec<u8>,
    /// How many of the next commands it cannot carry out (`E6`).
    pub refuses: u32,
    /// Resets it has carried out.
    pub resets: u32,
    /// A reset brings the computer back.
    pub needs_reset: bool,
    parameters: Vec<u8>,
    keys: Vec<u8>,
    bytes: Vec<u8>,
}

impl ScriptedChip {
    /// A connected chip at a rate.
    pub fn new(baud: u32) -> Self {
        let mut parameters = vec![0; 50];
        parameters[3..7].copy_from_slice(&baud.to_be_bytes());
        Self {
            baud,
            is_powered: true,
            is_connected: true,
            leds: 0,
            seen: vec![],
            heard: vec![],
            refuses: 0,
            resets: 0,
            needs_reset: false,
            parameters,
            keys: vec![0; 8],
            bytes: vec![],
        }
    }

    /// Power comes back: its stored rate holds, and its computer sees a keyboard with nothing down.
    pub fn power_on(&mut self) {
        self.is_powered = true;
        self.restart();
    }

    fn restart(&mut self) {
        self.baud = u32::from_be_bytes(self.parameters[3..7].try_into().unwrap());
        self.bytes.clear();
        self.lift();
    }

    /// Its computer takes it or lets it go.
    pub fn connect(&mut self, is_connected: bool) {
        self.is_connected = is_connected;
        self.lift();
    }

    fn lift(&mut self) {
        if self.keys != [0; 8] {
            self.keys = vec![0; 8];
            self.seen.push((2, vec![0; 8]));
        }
    }

    /// Takes bytes that came together at a rate; returns its replies.
    pub fn take(&mut self, bytes: &[u8], baud: u32) -> Vec<Vec<u8>> {
        if !self.is_powered || baud != self.baud {
            return vec![];
        }
        self.bytes.extend_from_slice(bytes);
        let mut replies = vec![];
        while let Some(start) = self.bytes.windows(2).position(|w| w == [0x57, 0xAB]) {
            self.bytes.drain(..start);
            let Some(len) = self.bytes.get(4).map(|len| usize::from(*len)) else { break };
            if self.bytes.len() < len + 6 {
                break;
            }
            let frame: Vec<u8> = self.bytes.drain(..len + 6).collect();
            let sum = frame[..len + 5].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
            let (code, data) = (frame[3], &frame[5..len + 5]);
            let reply = if sum == frame[len + 5] { self.obey(code, data) } else { Err(0xE4) };
            replies.push(match reply {
                Ok(data) => Self::frame(code | 0x80, &data),
                Err(why) => Self::frame(code | 0xC0, &[why]),
            });
        }
        // What is left of a frame when the line pauses is given up.
        self.bytes.clear();
        replies
    }

    fn frame(code: u8, data: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x57, 0xAB, 0, code, data.len() as u8];
        frame.extend_from_slice(data);
        frame.push(frame.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)));
        frame
    }

    fn obey(&mut self, code: u8, data: &[u8]) -> Result<Vec<u8>, u8> {
        self.heard.push(code);
        match (code, data.len()) {
            (1, 0) => Ok(vec![0x30, u8::from(self.is_connected), self.leds, 0, 0, 0, 0, 0]),
            (2, 8) | (3, 2 | 4) | (4, 7) | (5, 5) => {
                if self.refuses > 0 || !self.is_connected {
                    self.refuses = self.refuses.saturating_sub(1);
                    return Err(0xE6);
                }
                self.show(code, data);
                Ok(vec![0])
            }
            (8, 0) => Ok(self.parameters.clone()),
            (9, 50) => {
                self.parameters = data.to_vec();
                Ok(vec![0])
            }
            (0x0F, 0) => {
                self.resets += 1;
                self.is_connected |= self.needs_reset;
                self.restart();
                Ok(vec![0])
            }
            (1..=5 | 8 | 9 | 0x0F, _) => Err(0xE5),
            _ => Err(0xE3),
        }
    }

    /// A boot keyboard's computer acts on changes only; so does this one.
    fn show(&mut self, code: u8, data: &[u8]) {
        if code == 2 {
            if data == self.keys {
                return;
            }
            for (usage, led) in [(0x53, 1), (0x39, 2), (0x47, 4)] {
                if data[2..].contains(&usage) && !self.keys[2..].contains(&usage) {
                    self.leds ^= led;
                }
            }
            self.keys = data.to_vec();
        }
        self.seen.push((code, data.to_vec()));
    }

    /// Usages that went down on the keyboard, in order.
    pub fn typed(&self) -> Vec<u8> {
        let mut down = vec![];
        let mut typed = vec![];
        for (_, data) in self.seen.iter().filter(|(code, _)| *code == 2) {
            typed.extend(data[2..].iter().filter(|usage| **usage != 0 && !down.contains(*usage)));
            down = data[2..].to_vec();
        }
        typed
    }
}
