//! How weights and verdicts of several checks add up.

use super::*;

#[test]
fn weights_of_several_checks_add_up_as_differences() {
    let weigh =
        |effects: &[Effect], configured| Adjustment::of(effects.iter().copied()).weigh(configured);
    assert_eq!(weigh(&[], 5), 5);
    assert_eq!(weigh(&[Effect::None, Effect::Set(20)], 5), 20, "as it asks");
    assert_eq!(weigh(&[Effect::Set(20), Effect::Set(10)], 5), 25, "15 and 5 more than 5");
    assert_eq!(weigh(&[Effect::Set(1), Effect::Set(2)], 5), 0, "4 and 3 less than 5");
    assert_eq!(weigh(&[Effect::Add(3), Effect::Add(-1)], 5), 7);
    assert_eq!(weigh(&[Effect::Set(20), Effect::Add(-6)], 5), 14);
    assert_eq!(weigh(&[Effect::Add(-6)], 5), 0);
    assert_eq!(weigh(&[Effect::Add(i32::MAX), Effect::Add(i32::MAX)], 5), u16::MAX);
}

#[test]
fn checks_of_one_real_server_speak_together() {
    let say = |verdict, alpha| Said { verdict, alpha, ..Said::default() };
    let (up, down) = (Some(Verdict::Up), Some(Verdict::Down));
    let of = |all: &[Said]| Finding::of(all.iter().copied()).verdict;
    assert_eq!(of(&[say(up, false), say(down, false), say(None, false)]), down);
    assert_eq!(of(&[say(up, false), say(None, false)]), up);
    assert_eq!(of(&[say(up, true), say(None, true)]), None, "one has proven nothing yet");
    assert_eq!(of(&[say(up, true), say(None, false)]), up, "nor has it to");
    assert_eq!(of(&[say(up, false), say(None, true)]), None, "alpha is each check's own");
    assert_eq!(of(&[say(up, true), say(up, true)]), up);
    assert_eq!(of(&[say(None, true), say(down, true)]), down);
    assert_eq!(of(&[]), None);
    let effect = Effect::Add(2);
    let one = Said { verdict: up, effect, alpha: false };
    assert_eq!(Finding::of([one, one]).adjustment, Adjustment::of([effect, effect]));
}
