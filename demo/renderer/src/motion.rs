//! How people move in the clip: steps of walking and staying, joined smoothly.

use crate::pose::{Pose, STRIDE};
use crate::vector::{Frame, Vec3, vec3};

/// Seconds over which one step of a script passes into the next.
const PASSAGE: f32 = 0.45;

/// What somebody does while staying at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Stands about.
    Stand,
    /// Works at the ground, bent down.
    Bend,
    /// Works at the ground, on a knee.
    Kneel,
    /// Squats.
    Squat,
    /// Hammers or drills in front.
    Work,
    /// Telephones.
    Call,
    /// Points somewhere.
    Point,
}

/// A part of somebody's script.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Walk straight to this place (x and z in metres) at this speed in m/s.
    Walk([f32; 2], f32),
    /// Stay for these seconds, facing this heading in radians.
    Stay(f32, Activity, f32),
}

/// Somebody's place, heading and pose at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// On the ground.
    pub place: Vec3,
    /// In radians.
    pub heading: f32,
    /// The joints.
    pub pose: Pose,
}

/// A script from a starting place on; who has done the last step stands there.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// The starting place (x and z).
    pub start: [f32; 2],
    /// The steps, one after the other.
    pub steps: &'a [Step],
    /// Sets people's rhythms apart.
    pub phase: f32,
}

/// One step with its place in time and space.
#[derive(Clone, Copy, Debug)]
struct Leg {
    step: Step,
    begin: f32,
    end: f32,
    from: Vec3,
    to: Vec3,
    /// Metres walked before it.
    walked: f32,
}

impl Script<'_> {
    /// Where and how somebody is at a time in seconds.
    pub fn at(&self, time: f32) -> Moment {
        let mut leg = Leg {
            step: Step::Stay(0.0, Activity::Stand, 0.0),
            begin: 0.0,
            end: 0.0,
            from: flat(self.start),
            to: flat(self.start),
            walked: 0.0,
        };
        let mut previous = None;
        for &step in self.steps {
            let walked = leg.walked + (leg.to - leg.from).length();
            let next = match step {
                Step::Walk(to, speed) => {
                    let seconds = (flat(to) - leg.to).length() / speed;
                    Leg { step, begin: leg.end, end: leg.end + seconds, from: leg.to, to: flat(to), walked }
                }
                Step::Stay(seconds, ..) => {
                    Leg { step, begin: leg.end, end: leg.end + seconds, from: leg.to, to: leg.to, walked }
                }
            };
            previous = (next.begin > 0.0).then_some(leg);
            leg = next;
            if time < leg.end {
                break;
            }
        }
        let moment = leg.at(time, self.phase);
        let Some(previous) = previous else { return moment };
        let share = ((time - leg.begin) / PASSAGE).clamp(0.0, 1.0);
        let share = share * share * (3.0 - 2.0 * share);
        let before = previous.at(time, self.phase);
        let turn = fold(moment.heading - before.heading);
        Moment {
            place: moment.place,
            heading: before.heading + turn * share,
            pose: before.pose.mix(&moment.pose, share),
        }
    }
}

impl Leg {
    fn at(&self, time: f32, phase: f32) -> Moment {
        match self.step {
            Step::Walk(_, speed) => {
                let along = self.to - self.from;
                let length = along.length();
                let gone = ((time - self.begin) * speed).clamp(0.0, length);
                let place = self.from + along * (gone / length.max(1e-6));
                // The cycle goes on through a passage, although the place does not.
                let cycle = phase + (self.walked + (time - self.begin) * speed) / STRIDE;
                let moving = time < self.end;
                let pose = Pose::walk(cycle, if moving { (speed / 1.35).clamp(0.6, 1.35) } else { 0.25 });
                Moment { place, heading: along.x.atan2(along.z), pose }
            }
            Step::Stay(_, activity, heading) => {
                let rhythm = phase + 0.45 * time;
                let pose = match activity {
                    Activity::Stand => Pose::stand(1.3 * time + 6.0 * phase),
                    Activity::Bend => Pose::bend(rhythm),
                    Activity::Kneel => Pose::kneel(rhythm),
                    Activity::Squat => Pose::squat(rhythm),
                    Activity::Work => Pose::work(2.2 * rhythm),
                    Activity::Call => Pose::stand(1.3 * time).calling(),
                    Activity::Point => Pose::stand(1.3 * time).pointing(1.3 + 0.25 * (2.0 * time).sin()),
                };
                Moment { place: self.to, heading, pose }
            }
        }
    }
}

fn flat([x, z]: [f32; 2]) -> Vec3 {
    vec3(x, 0.0, z)
}

/// An angle brought into -π..π.
fn fold(angle: f32) -> f32 {
    angle.sin().atan2(angle.cos())
}

impl Moment {
    /// The way straight ahead.
    pub fn ahead(&self) -> Vec3 {
        Frame::upright(self.place, self.heading).forward
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 3] =
        [Step::Walk([3.0, 10.0], 1.5), Step::Stay(1.0, Activity::Kneel, 2.0), Step::Walk([3.0, 14.0], 1.0)];

    #[test]
    fn movement_has_no_jumps() {
        let script = Script { start: [0.0, 10.0], steps: &STEPS, phase: 0.3 };
        let mut last = script.at(0.0);
        for tick in 1..1000 {
            let next = script.at(tick as f32 * 0.01);
            assert!((next.place - last.place).length() < 0.02);
            assert!(fold(next.heading - last.heading).abs() < 0.2);
            assert!((next.pose.lean - last.pose.lean).abs() < 0.1);
            last = next;
        }
        assert!((last.place - vec3(3.0, 0.0, 14.0)).length() < 1e-3);
    }

    #[test]
    fn a_walker_faces_ahead() {
        let script = Script { start: [0.0, 10.0], steps: &STEPS, phase: 0.0 };
        assert!((script.at(1.0).ahead() - vec3(1.0, 0.0, 0.0)).length() < 1e-3);
    }
}
