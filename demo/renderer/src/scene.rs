//! A scene: shapes with their surfaces, the labelled objects that they belong to, ground and light.

use crate::ground::Ground;
use crate::light::Light;
use crate::material::Material;
use crate::shape::Shape;
use crate::vector::{Frame, Vec3};

/// The classes of the ground truth, in the models' index order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A whole visible figure with what it wears.
    Person,
    /// A safety helmet that nobody wears.
    Helmet,
    /// A head with a safety helmet.
    HelmetOn,
    /// A head without one.
    HelmetOff,
}

impl Class {
    /// All classes, in index order.
    pub const ALL: [Class; 4] = [Class::Person, Class::Helmet, Class::HelmetOn, Class::HelmetOff];

    /// The name in the models' metadata.
    pub fn name(self) -> &'static str {
        match self {
            Class::Person => "person",
            Class::Helmet => "helmet",
            Class::HelmetOn => "helmet_on",
            Class::HelmetOff => "helmet_off",
        }
    }
}

/// Something with a label.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Its class.
    pub class: Class,
    /// The object whose box holds this one too: a head's person.
    pub parent: Option<usize>,
}

/// One shape of the scene.
#[derive(Clone, Copy, Debug)]
pub struct Primitive {
    /// The solid.
    pub shape: Shape,
    /// Its surface.
    pub material: Material,
    /// The labelled object that it belongs to.
    pub object: Option<usize>,
}

/// A soft dark spot on the ground below a thing, where little skylight arrives.
#[derive(Clone, Copy, Debug)]
pub struct Contact {
    /// Its middle on the ground.
    pub place: Vec3,
    /// Its radius in metres.
    pub radius: f32,
    /// The share of skylight that it takes, 0..=1.
    pub strength: f32,
}

/// Everything that a picture shows.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The shapes.
    pub primitives: Vec<Primitive>,
    /// The labelled objects.
    pub objects: Vec<Object>,
    /// Dark spots on the ground.
    pub contacts: Vec<Contact>,
    /// The ground.
    pub ground: Ground,
    /// Sun, sky and air.
    pub light: Light,
}

impl Scene {
    /// Bare ground under a sky.
    pub fn new(ground: Ground, light: Light) -> Scene {
        Scene { primitives: Vec::new(), objects: Vec::new(), contacts: Vec::new(), ground, light }
    }

    /// Adds a labelled object and returns its number.
    pub fn object(&mut self, class: Class, parent: Option<usize>) -> usize {
        self.objects.push(Object { class, parent });
        self.objects.len() - 1
    }

    /// Adds a shape.
    pub fn add(&mut self, object: Option<usize>, material: Material, shape: Shape) {
        self.primitives.push(Primitive { shape, material, object });
    }

    /// Darkens the ground below a thing.
    pub fn contact(&mut self, place: Vec3, radius: f32, strength: f32) {
        self.contacts.push(Contact { place, radius, strength });
    }

    /// Starts building a thing that stands in `frame`.
    pub fn build(&mut self, frame: Frame, object: Option<usize>) -> Builder<'_> {
        Builder { scene: self, frame, object }
    }
}

/// Adds shapes given in the coordinates of one thing.
#[derive(Debug)]
pub struct Builder<'a> {
    /// The scene that grows.
    pub scene: &'a mut Scene,
    /// Where the thing stands.
    pub frame: Frame,
    /// The labelled object that its shapes belong to.
    pub object: Option<usize>,
}

impl Builder<'_> {
    /// A box with its middle at `at` and these half sizes.
    pub fn cuboid(&mut self, at: [f32; 3], half: [f32; 3], material: Material) {
        let frame = self.frame.moved(self.frame.at(at[0], at[1], at[2]));
        let half = Vec3 { x: half[0], y: half[1], z: half[2] };
        self.scene.add(self.object, material, Shape::Cuboid { frame, half });
    }

    /// An ellipsoid with its middle at `at` and these half axes.
    pub fn ellipsoid(&mut self, at: [f32; 3], half: [f32; 3], material: Material) {
        let frame = self.frame.moved(self.frame.at(at[0], at[1], at[2]));
        self.scene.add(self.object, material, Shape::ellipsoid(&frame, half[0], half[1], half[2]));
    }

    /// The part of an ellipsoid above `level` metres (along the thing's upward axis) from its middle.
    pub fn dome(&mut self, at: [f32; 3], half: [f32; 3], level: f32, material: Material) {
        let frame = self.frame.moved(self.frame.at(at[0], at[1], at[2]));
        let shape = Shape::dome(&frame, half[0], half[1], half[2], frame.up, level);
        self.scene.add(self.object, material, shape);
    }

    /// A rounded bar from one point to another.
    pub fn tube(&mut self, from: [f32; 3], to: [f32; 3], radius: f32, material: Material) {
        let ends = [self.frame.at(from[0], from[1], from[2]), self.frame.at(to[0], to[1], to[2])];
        self.scene.add(self.object, material, Shape::RoundCone { ends, radii: [radius, radius] });
    }

    /// A cylinder or cut cone from one point to another.
    pub fn cone(&mut self, from: [f32; 3], to: [f32; 3], radii: [f32; 2], material: Material) {
        let ends = [self.frame.at(from[0], from[1], from[2]), self.frame.at(to[0], to[1], to[2])];
        self.scene.add(self.object, material, Shape::CappedCone { ends, radii });
    }
}
