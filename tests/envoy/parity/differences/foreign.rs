//! Differences in foreign functions.

use super::Difference;

/// How a result of no bytes is given.
pub const EMPTY_RESULT: Difference = Difference {
    reason: "An empty result of a foreign function is null, as empty values of other calls are in both hosts. The \
        built-in filter allocates no bytes for it in the plugin.",
    shows_in: &[(
        "compression",
        &[
            r#"- log info: foreign uncompress "x\\x9c\\x03\\x00\\x00\\x00\\x00\\x01" -> 0 """#,
            r#"+ log info: foreign uncompress "x\\x9c\\x03\\x00\\x00\\x00\\x00\\x01" -> 0 (null)"#,
        ],
    )],
};

/// What expressions see of the stream.
pub const EXPRESSIONS: Difference = Difference {
    reason: "Expressions see what properties tell: the request's attributes in every callback, and its duration \
        while it runs. An empty value is null.",
    shows_in: &[(
        "expressions",
        &[
            r#"- log info: foreign expr_evaluate "\\x0b\\x00\\x00\\x00" -> 10 (outputs written)"#,
            r#"+ log info: foreign expr_evaluate "\\x0b\\x00\\x00\\x00" -> 0 "\\x01""#,
            r#"- log info: foreign expr_evaluate "-\\x00\\x00\\x00" -> 0 """#,
            r#"+ log info: foreign expr_evaluate "-\\x00\\x00\\x00" -> 0 (null)"#,
            r#"- log info: foreign expr_evaluate "\\x00\\x00\\x00\\x00" -> 10 (outputs written)"#,
            r#"- log info: foreign expr_evaluate "\\x01\\x00\\x00\\x00" -> 10 (outputs written)"#,
            r#"- log info: foreign expr_evaluate "\\x02\\x00\\x00\\x00" -> 10 (outputs written)"#,
            r#"+ log info: foreign expr_evaluate "\\x00\\x00\\x00\\x00" -> 0 "/everything?x=1""#,
            r#"+ log info: foreign expr_evaluate "\\x01\\x00\\x00\\x00" -> 0 "/everything?x=1""#,
            r#"+ log info: foreign expr_evaluate "\\x02\\x00\\x00\\x00" -> 0 "request value""#,
            r#"- log info: foreign expr_evaluate "\\x05\\x00\\x00\\x00" -> 0 "\\x00""#,
            r#"- log info: foreign expr_evaluate "\\x06\\x00\\x00\\x00" -> 10 (outputs written)"#,
            r#"+ log info: foreign expr_evaluate "\\x05\\x00\\x00\\x00" -> 0 "\\x01""#,
            r#"+ log info: foreign expr_evaluate "\\x06\\x00\\x00\\x00" -> 0 "\\x01""#,
        ],
    )],
};
