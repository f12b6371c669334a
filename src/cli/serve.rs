//! Runs an agent until SIGTERM or SIGINT: what `run` and `demo` share.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::agent::agent::{Agent, AgentOptions};
use crate::agent::systemd::Notifier;

use super::{Failure, SOFTWARE, UNAVAILABLE};

/// A process that hangs at its end is ended this long after the signal; keys are up long before.
const LAST_RESORT: Duration = Duration::from_millis(1900);

/// Builds the runtime, starts the agent, lets `accompany` go along with it until a signal comes, and ends all.
pub(super) fn serve<F>(options: AgentOptions, accompany: impl FnOnce(&Agent) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("kvmdesk-net")
        .build()
        .map_err(|e| Failure::new(UNAVAILABLE, format!("cannot start threads: {e}")))?;
    let result = runtime.block_on(async {
        let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        let agent = Agent::start(options)?;
        let notifier = Notifier::from_env();
        // Before READY: from then on a reload may come.
        let company = accompany(&agent);
        let result = {
            tokio::select! {
                result = company => result,
                () = any(&mut signals) => Ok(()),
                () = agent.vitals().broken() => {
                    Err(Failure::new(SOFTWARE, "a part of kvmdesk ended by a fault of its own; start it again"))
                }
                () = tell_manager(&notifier, &agent) => Ok(()),
            }
        };
        notifier.stopping();
        tracing::info!("stopping");
        let code = result.as_ref().map_or_else(|failure: &Failure| failure.code, |()| 0);
        std::thread::spawn(move || {
            std::thread::sleep(LAST_RESORT);
            std::process::exit(code.into());
        });
        agent.stop().await;
        result
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn any(signals: &mut [Signal; 2]) {
    let [first, second] = signals;
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
    }
}

/// Says that the agent is ready once it is, then feeds the watchdog as long as every part answers. Never ends.
async fn tell_manager(notifier: &Notifier, agent: &Agent) {
    agent.vitals().ready().await;
    notifier.ready(&format!("ID {}", agent.id()));
    let Some(interval) = notifier.watchdog_interval() else { return std::future::pending().await };
    loop {
        let silent = agent.vitals().silent(interval).await;
        if silent.is_empty() {
            notifier.alive();
            tokio::time::sleep(interval).await;
        } else {
            let silent = silent.join(", ");
            tracing::error!("no answer for {interval:?} from {silent}: the watchdog is not fed");
        }
    }
}
