//! Whether the parts that make a KVM are at work: each display's pipeline, the hands, the registration. They are asked and
//! have to answer, so that a part that hangs is found, which the service manager's watchdog then ends.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::hid::writer::{HidHandle, HidHealth};
use crate::media::pipeline::VideoHandle;

use super::direct_task::ListenStatus;
use super::rendezvous_task::RegistrationCommand;

/// At the start every part is asked again after so long without an answer.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
/// A pipeline turns at least once a second; it is looked at this often.
const LOOK: Duration = Duration::from_millis(100);

/// The parts of one agent that are asked.
#[derive(Debug)]
pub struct Vitals {
    pub(super) displays: Vec<VideoHandle>,
    pub(super) hands: HidHandle,
    pub(super) health: watch::Receiver<HidHealth>,
    /// Where commands of the registration go at present, if there is a server: a reload replaces it.
    pub(super) registration: watch::Receiver<Option<mpsc::Sender<RegistrationCommand>>>,
    /// What should be open, as it was before anything was tried.
    pub(super) listeners: Vec<watch::Receiver<ListenStatus>>,
}

impl Vitals {
    /// Ends when a part of it ended that nobody told to, because of a fault in the program; the log says which.
    pub async fn broken(&self) {
        let mut ends = JoinSet::new();
        for display in &self.displays {
            let mut state = display.state();
            ends.spawn(async move { while state.changed().await.is_ok() {} });
        }
        let mut health = self.health.clone();
        ends.spawn(async move { while health.changed().await.is_ok() {} });
        ends.join_next().await;
    }

    /// Ends when every listener was opened, or could not be and that is told, and every part has answered once.
    pub async fn ready(&self) {
        for listener in &self.listeners {
            // An error means that its task ended, which is told elsewhere.
            let _ = listener.clone().changed().await;
        }
        while !self.silent(FIRST_PATIENCE).await.is_empty() {}
    }

    /// The parts that did not answer within `patience`, in words; empty while all is well.
    pub async fn silent(&self, patience: Duration) -> Vec<String> {
        let (video, hands, registration) = tokio::join!(
            self.silent_displays(patience),
            tokio::time::timeout(patience, self.hands.ping()),
            tokio::time::timeout(patience, self.registration_answers()),
        );
        let mut silent = video;
        if !matches!(hands, Ok(Ok(()))) {
            silent.push("keyboard and mouse".to_owned());
        }
        if registration.is_err() {
            silent.push("the registration".to_owned());
        }
        silent
    }

    async fn silent_displays(&self, patience: Duration) -> Vec<String> {
        let mut waiting: Vec<_> =
            self.displays.iter().enumerate().map(|(n, display)| (n + 1, display, display.turns())).collect();
        let all_turn = async {
            while !waiting.is_empty() {
                tokio::time::sleep(LOOK).await;
                waiting.retain(|(_, display, before)| display.turns() == *before);
            }
        };
        let _ = tokio::time::timeout(patience, all_turn).await;
        waiting.iter().map(|(n, ..)| format!("the picture of display {n}")).collect()
    }

    /// Ends when it answered, or there is no server.
    async fn registration_answers(&self) {
        loop {
            let Some(commands) = self.registration.borrow().clone() else { return };
            let (answer, answered) = oneshot::channel();
            if commands.send(RegistrationCommand::Ping(answer)).await.is_ok() && answered.await.is_ok() {
                return;
            }
            // It ended: after a reload there is another one, or none.
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hid::backend::{self, BackendSettings};
    use crate::hid::writer::{HidSettings, HidWriter};
    use crate::media::capture::pattern::PatternSource;
    use crate::media::encode::encoders::Encoders;
    use crate::media::pipeline::Pipeline;
    use crate::video::card::TestCard;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn parts_answer_while_they_work_and_are_named_when_they_do_not() {
        let (_card, told) = watch::channel(TestCard::default());
        let source = Box::new(PatternSource::new(told));
        let pipeline = Pipeline::spawn_from(source, 30, Encoders::of_this_machine());
        let backend = backend::open(&BackendSettings::Recording { file: None }).unwrap();
        let hid =
            HidWriter::spawn(backend, HidSettings { keyboard_layout: "us".into(), ..HidSettings::default() });
        let (commands, mut orders) = mpsc::channel(8);
        let server = watch::channel(Some(commands)).0;
        let (listener, status) = watch::channel(ListenStatus::starting("127.0.0.1:1".parse().unwrap()));
        let vitals = Vitals {
            displays: vec![pipeline.handle()],
            hands: hid.open_session(),
            health: hid.health(),
            registration: server.subscribe(),
            listeners: vec![status],
        };
        // Nobody takes the registration's orders: it hangs, the others do not.
        assert!(vitals.silent(SHORT).await.contains(&"the registration".to_owned()));
        let registration = tokio::spawn(async move {
            while let Some(order) = orders.recv().await {
                if let RegistrationCommand::Ping(answer) = order {
                    let _ = answer.send(());
                }
            }
        });
        assert_eq!(vitals.silent(LONG).await, Vec::<String>::new());
        // Ready only once the listener has been tried.
        assert!(tokio::time::timeout(SHORT, vitals.ready()).await.is_err());
        listener.send_modify(|status| status.message = "Direct access cannot listen".into());
        tokio::time::timeout(LONG, vitals.ready()).await.unwrap();
        assert!(tokio::time::timeout(SHORT, vitals.broken()).await.is_err());
        // Another server, or none: what is there now is asked.
        registration.abort();
        let (commands, mut orders) = mpsc::channel(8);
        let changed = tokio::spawn(async move {
            server.send_replace(Some(commands));
            if let Some(RegistrationCommand::Ping(answer)) = orders.recv().await {
                let _ = answer.send(());
            }
            server
        });
        assert_eq!(vitals.silent(LONG).await, Vec::<String>::new());
        let server = changed.await.unwrap();
        // Its end is no fault by itself, but it is silent then.
        assert!(tokio::time::timeout(SHORT, vitals.broken()).await.is_err());
        drop((pipeline, hid));
        tokio::time::timeout(LONG, vitals.broken()).await.unwrap();
        let silent = vitals.silent(Duration::from_millis(300)).await;
        assert_eq!(silent, ["the picture of display 1", "keyboard and mouse", "the registration"]);
        server.send_replace(None);
        assert_eq!(vitals.silent(SHORT).await, ["the picture of display 1", "keyboard and mouse"]);
    }
}
