use super::*;

#[test]
fn a_format_whose_frames_cannot_be_used_gives_way_to_another() {
    let mut simulation = Simulation::new(true, true);
    simulation.fake().formats = 2;
    simulation.recovers("the start");
    let spoil = |simulation: &mut Simulation, seconds: u32| {
        for _ in 0..seconds * 60 {
            simulation.receiver.frame_spoilt("damaged", simulation.now);
            simulation.run(FRAME);
        }
    };
    spoil(&mut simulation, 2);
    simulation.receiver.frame_used();
    spoil(&mut simulation, 2);
    assert_eq!(simulation.fake().formats, 2, "a few seconds of noise are no reason");
    spoil(&mut simulation, 2);
    assert_eq!(simulation.fake().formats, 1);
    simulation.recovers("the other format");
    let before = simulation.fake().configured;
    spoil(&mut simulation, 20);
    assert_eq!((simulation.fake().formats, simulation.fake().configured), (1, before), "there is no third");
}

#[test]
fn an_edid_that_was_taken_away_is_shown_again_whatever_it_takes() {
    let mut simulation = Simulation::new(true, true);
    simulation.recovers("the start");
    simulation.set_fault(Some(Fault::NoLock));
    simulation.fake().refuses_to_plug = true;
    while simulation.fake().is_plugged {
        simulation.run(Duration::from_secs(1));
    }
    simulation.set_fault(None);
    simulation.run(Duration::from_secs(20));
    assert!(!simulation.fake().is_plugged);
    simulation.fake().refuses_to_plug = false;
    simulation.recovers("the EDID");
}
