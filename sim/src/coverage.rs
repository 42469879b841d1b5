//! temp
use std::collections::BTreeMap;
#[derive(Debug, Default)]
pub struct Coverage(BTreeMap<&'static str, u64>);
impl Coverage {
    pub fn see(&mut self, name: &'static str, happened: bool) {
        if happened {
            *self.0.entry(name).or_default() += 1;
        }
    }
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.clone()
    }
}
#[macro_export]
macro_rules! sometimes {
    ($c:expr, $n:literal, $cond:expr) => {
        $c.see($n, $cond)
    };
}
