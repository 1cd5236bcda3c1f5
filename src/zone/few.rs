//! Some things, most often one: kept in place, not behind a pointer.

use std::sync::Arc;

/// None, one in place, or several behind a pointer that copies share. Three words for what fits two.
#[derive(Clone, Debug)]
pub enum Few<T> {
    /// None.
    None,
    /// One.
    One(T),
    /// More than one.
    Many(Arc<[T]>),
}

impl<T> Few<T> {
    /// All of them, in their order.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        match self {
            Few::None => &[],
            Few::One(only) => std::slice::from_ref(only),
            Few::Many(all) => all,
        }
    }

    /// Octets that it has elsewhere than in its place: each of those that share them has its part.
    pub fn octets_elsewhere(&self) -> usize {
        match self {
            Few::None | Few::One(_) => 0,
            Few::Many(all) => size_of_val(&**all) / Arc::strong_count(all),
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Few<T> {
        let mut items = items.into_iter();
        match (items.next(), items.next()) {
            (None, _) => Few::None,
            (Some(only), None) => Few::One(only),
            (Some(first), Some(second)) => {
                // A vector first: without a known length, an Arc<[T]> would be collected by way of one too.
                let all: Vec<T> = [first, second].into_iter().chain(items).collect();
                Few::Many(all.into())
            }
        }
    }
}

impl<T: Copy> From<Vec<T>> for Few<T> {
    fn from(items: Vec<T>) -> Few<T> {
        match items[..] {
            [] => Few::None,
            [only] => Few::One(only),
            _ => Few::Many(items.into()),
        }
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Few<T>) -> bool {
        self.as_slice() == other.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn one_stands_in_place() {
        assert!(matches!([0u8; 0].into_iter().collect(), Few::None));
        assert!(matches!([7].into_iter().collect(), Few::One(7)));
        assert!(matches!((Few::from(vec![0; 0]), Few::from(vec![7])), (Few::None, Few::One(7))));
        assert_eq!(Few::from(vec![3, 1, 2]).as_slice(), [3, 1, 2]);
        let many: Few<u8> = [3, 1, 2].into_iter().collect();
        assert!(matches!(many, Few::Many(_)) && many.as_slice() == [3, 1, 2]);
        assert!(size_of::<Few<Ipv4Addr>>() <= 24 && size_of::<Few<Ipv6Addr>>() <= 24);
    }
}
