//! tmp
use super::*;
/// tmp
pub struct V4l2Source;
impl V4l2Source { /// tmp
pub fn new(_: std::path::PathBuf) -> Self { Self } }
impl Source for V4l2Source {
 fn state(&self) -> SourceState { SourceState{signal: SignalState::NoDevice, resolution: None} }
 fn set_awake(&mut self, _: bool) {}
 fn wait(&mut self, wake: &WakeReceiver, _: Instant, until: Instant) -> SourceEvent { wake.poll(None, until); SourceEvent::Nothing }
 fn frame(&mut self) -> Option<FramePair<'_>> { None }
}
