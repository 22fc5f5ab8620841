//! What an expression may cost at most.
//!
//! The language has no loops but macros (`all`, `exists`, `map`, `filter`) over lists and maps; one macro inside another
//! multiplies. So the cost is estimated from the text alone: a step for each part of it, times the elements of what
//! the macro runs over, which are counted if it is a literal and assumed if it is an attribute. Values grow by `+`
//! alone, and in macros of macros they grow by a power; there only a few are allowed.

use cel::common::ast::{CallExpr, Expr, LiteralValue};
use cel::parser::Expression;

/// Most steps: some tenths of a second.
const MOST_STEPS: u64 = 2_000_000;

/// How many parts may lie in each other.
const MOST_DEPTH: u32 = 128;

/// How many macros may lie in each other, and how many `+` there may be if any do.
const MOST_NESTING: u32 = 2;
const MOST_SUMS: u32 = 8;

/// Elements that an attribute is assumed to have: more headers than Envoy lets in by default.
const ASSUMED_ELEMENTS: u64 = 128;

/// Steps of a pattern: it is compiled each time. One that repeats what it repeats may compile to megabytes.
const SIMPLE_PATTERN: u64 = 100;
const ANY_PATTERN: u64 = 100_000;
const LONGEST_SIMPLE_PATTERN: usize = 64;

/// Refuses an expression that could cost too much, with the reason.
pub(super) fn check(expression: &Expression) -> Result<(), String> {
    let mut survey = Survey::default();
    let steps = survey.steps(&expression.expr, 0, 0);
    if survey.depth > MOST_DEPTH {
        return Err(format!("parts lie in each other more than {MOST_DEPTH} deep"));
    }
    if survey.nesting > MOST_NESTING {
        return Err(format!("more than {MOST_NESTING} macros (all, exists, map, filter) lie in each other"));
    }
    if survey.nesting > 1 && survey.sums > MOST_SUMS {
        return Err(format!("more than {MOST_SUMS} sums beside a macro that lies in another"));
    }
    if steps > MOST_STEPS {
        return Err(format!("could take {steps} steps, expected at most {MOST_STEPS}"));
    }
    Ok(())
}

/// What was met on the way.
#[derive(Default)]
struct Survey {
    depth: u32,
    nesting: u32,
    sums: u32,
}

impl Survey {
    /// Steps of a part that lies in `depth` others, `nesting` of them macros. What is too deep is not entered.
    fn steps(&mut self, expression: &Expr, depth: u32, nesting: u32) -> u64 {
        self.depth = self.depth.max(depth);
        self.nesting = self.nesting.max(nesting);
        if depth > MOST_DEPTH {
            return 0;
        }
        let depth = depth.saturating_add(1);
        let within = match expression {
            Expr::Comprehension(comprehension) => {
                let inner = nesting.saturating_add(1);
                let range = self.steps(&comprehension.iter_range.expr, depth, nesting);
                let start = self.steps(&comprehension.accu_init.expr, depth, nesting);
                let condition = self.steps(&comprehension.loop_cond.expr, depth, inner);
                let step = self.steps(&comprehension.loop_step.expr, depth, inner);
                let result = self.steps(&comprehension.result.expr, depth, nesting);
                let each = condition.saturating_add(step);
                let turns = elements(&comprehension.iter_range.expr, depth);
                [range, start, result].into_iter().fold(each.saturating_mul(turns), u64::saturating_add)
            }
            Expr::Call(call) => {
                if call.func_name == "_+_" && nesting > 0 {
                    self.sums = self.sums.saturating_add(1);
                }
                parts(expression)
                    .fold(own_steps(call), |sum, part| sum.saturating_add(self.steps(part, depth, nesting)))
            }
            _ => parts(expression)
                .fold(0, |sum: u64, part| sum.saturating_add(self.steps(part, depth, nesting))),
        };
        within.saturating_add(1)
    }
}

/// Steps of a call beside those of its arguments.
fn own_steps(call: &CallExpr) -> u64 {
    if call.func_name != "matches" {
        return 0;
    }
    match call.args.last().map(|argument| &argument.expr) {
        Some(Expr::Literal(LiteralValue::String(pattern)))
            if pattern.inner().len() <= LONGEST_SIMPLE_PATTERN && !pattern.inner().contains('{') =>
        {
            SIMPLE_PATTERN
        }
        _ => ANY_PATTERN,
    }
}

/// How many elements a list or a map has.
fn elements(expression: &Expr, depth: u32) -> u64 {
    if depth > MOST_DEPTH {
        return ASSUMED_ELEMENTS;
    }
    let depth = depth.saturating_add(1);
    match expression {
        Expr::List(list) => u64::try_from(list.elements.len()).unwrap_or(u64::MAX),
        Expr::Map(map) => u64::try_from(map.entries.len()).unwrap_or(u64::MAX),
        Expr::Comprehension(comprehension) => elements(&comprehension.iter_range.expr, depth),
        // A sum has those of its parts, a choice those of one of them.
        Expr::Call(_) => parts(expression)
            .fold(0, |sum: u64, part| sum.saturating_add(elements(part, depth)))
            .max(ASSUMED_ELEMENTS),
        _ => ASSUMED_ELEMENTS,
    }
}

/// The parts of an expression that are expressions, but for those of a macro.
pub(super) fn parts(expression: &Expr) -> impl Iterator<Item = &Expr> {
    use cel::common::ast::EntryExpr;
    let mut parts: Vec<&Expr> = Vec::new();
    let mut entry = |entry| match entry {
        &EntryExpr::MapEntry(ref pair) => parts.extend([&pair.key.expr, &pair.value.expr]),
        &EntryExpr::StructField(ref field) => parts.push(&field.value.expr),
    };
    match expression {
        Expr::Map(map) => map.entries.iter().for_each(|pair| entry(&pair.expr)),
        Expr::Struct(value) => value.entries.iter().for_each(|field| entry(&field.expr)),
        Expr::Call(call) => {
            parts.extend(call.target.iter().map(|target| &target.expr));
            parts.extend(call.args.iter().map(|argument| &argument.expr));
        }
        Expr::List(list) => parts.extend(list.elements.iter().map(|element| &element.expr)),
        Expr::Select(select) => parts.push(&select.operand.expr),
        Expr::Comprehension(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
    parts.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(source: &str) -> Result<(), String> {
        check(cel::Env::stdlib().compile(source).unwrap().expression())
    }

    #[test]
    fn what_plugins_write_is_allowed() {
        for source in [
            "request.path.startsWith('/a') && request.headers['x'] == 'y'",
            "request.headers.exists(name, name.matches('^x-[a-z]+$'))",
            "[1, 2, 3].map(x, [4, 5].map(y, x * y))",
            "['a', 'b'].all(x, request.headers.exists(name, name == x))",
        ] {
            assert_eq!(verdict(source), Ok(()), "{source}");
        }
    }

    #[test]
    fn what_could_cost_much_is_refused() {
        let nested = "request.headers.all(a, request.headers.all(b, request.headers.all(c, a == b)))";
        assert!(verdict(nested).unwrap_err().contains("more than 2 macros"));
        let doubling = "['a'].map(x, [x + x + x + x + x].map(y, y + y + y + y + y + y))";
        assert!(verdict(doubling).unwrap_err().contains("sums"));
        let patterns = "request.headers.all(a, a.matches('(x{1000}){1000}'))";
        assert!(verdict(patterns).unwrap_err().contains("steps"));
        let long = format!("[{}].all(a, a == 0)", vec!["0"; 1500].join(","));
        assert_eq!(verdict(&long), Ok(()));
        let square = format!("[{0}].all(a, [{0}].all(b, a == b))", vec!["0"; 1000].join(","));
        assert!(verdict(&square).unwrap_err().contains("steps"));
    }

    #[test]
    fn a_long_chain_is_too_deep() {
        let chain = vec!["1"; 500].join(" + ");
        assert!(verdict(&chain).unwrap_err().contains("128 deep"));
    }
}
