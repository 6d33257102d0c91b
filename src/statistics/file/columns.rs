//! The columns of the table, and what a row of it is about.
//!
//! Owns: the names. Must never: read or write one.

/// The columns, in order.
pub(super) const COLUMNS: [(&str, Kind); 49] = [
    ("kind", Kind::Text),
    ("levels", Kind::Texts),
    ("rows", Kind::Integer),
    ("min", Kind::Number),
    ("max", Kind::Number),
    ("sum", Kind::Number),
    ("sum_compensation", Kind::Number),
    ("squares", Kind::Number),
    ("squares_compensation", Kind::Number),
    ("ratio_ln_ratio", Kind::Number),
    ("ratio_ln_ratio_compensation", Kind::Number),
    ("label_a", Kind::Integer),
    ("label_b", Kind::Integer),
    ("label_tie", Kind::Integer),
    ("label_abstain", Kind::Integer),
    ("label_soft", Kind::Integer),
    ("labelled_rows", Kind::Integer),
    ("labelled_min", Kind::Number),
    ("labelled_max", Kind::Number),
    ("labelled_sum", Kind::Number),
    ("labelled_sum_compensation", Kind::Number),
    ("labelled_squares", Kind::Number),
    ("labelled_squares_compensation", Kind::Number),
    ("labelled_ratio_ln_ratio", Kind::Number),
    ("labelled_ratio_ln_ratio_compensation", Kind::Number),
    ("ratio_label", Kind::Number),
    ("ratio_label_compensation", Kind::Number),
    ("shown_min", Kind::Number),
    ("shown_max", Kind::Number),
    ("shown_sum", Kind::Number),
    ("shown_sum_compensation", Kind::Number),
    ("shown_squares", Kind::Number),
    ("shown_squares_compensation", Kind::Number),
    ("labelled_shown_min", Kind::Number),
    ("labelled_shown_max", Kind::Number),
    ("labelled_shown_sum", Kind::Number),
    ("labelled_shown_sum_compensation", Kind::Number),
    ("labelled_shown_squares", Kind::Number),
    ("labelled_shown_squares_compensation", Kind::Number),
    ("zeros", Kind::Integer),
    ("buckets", Kind::Integers),
    ("bucket_counts", Kind::Integers),
    ("tail_values", Kind::Numbers),
    ("tail_counts", Kind::Integers),
    ("tail_floor", Kind::Number),
    ("ln_min", Kind::Number),
    ("months", Kind::Integers),
    ("month_rows", Kind::Integers),
    ("month_ln_min", Kind::Numbers),
];

/// The columns of the moments of a cell's audited rows, and of its labelled ones.
pub(super) const AUDITED: Moments = Moments {
    rows: "rows",
    min: "min",
    max: "max",
    sum: ("sum", "sum_compensation"),
    squares: ("squares", "squares_compensation"),
    ratio_ln_ratio: ("ratio_ln_ratio", "ratio_ln_ratio_compensation"),
};
pub(super) const LABELLED: Moments = Moments {
    rows: "labelled_rows",
    min: "labelled_min",
    max: "labelled_max",
    sum: ("labelled_sum", "labelled_sum_compensation"),
    squares: ("labelled_squares", "labelled_squares_compensation"),
    ratio_ln_ratio: ("labelled_ratio_ln_ratio", "labelled_ratio_ln_ratio_compensation"),
};
pub(super) const RATIO_LABEL: (&str, &str) = ("ratio_label", "ratio_label_compensation");

/// The columns of the shown comparisons that a cell's audited rows stand for, and its labelled ones.
pub(super) const SHOWN_AUDITED: Shown = Shown {
    min: "shown_min",
    max: "shown_max",
    sum: ("shown_sum", "shown_sum_compensation"),
    squares: ("shown_squares", "shown_squares_compensation"),
};
pub(super) const SHOWN_LABELLED: Shown = Shown {
    min: "labelled_shown_min",
    max: "labelled_shown_max",
    sum: ("labelled_shown_sum", "labelled_shown_sum_compensation"),
    squares: ("labelled_shown_squares", "labelled_shown_squares_compensation"),
};

/// Where the sums of 1/inclusion over a set of rows are.
pub(super) struct Shown {
    pub(super) min: &'static str,
    pub(super) max: &'static str,
    pub(super) sum: (&'static str, &'static str),
    pub(super) squares: (&'static str, &'static str),
}

/// Where the moments of a set of rows are.
pub(super) struct Moments {
    pub(super) rows: &'static str,
    pub(super) min: &'static str,
    pub(super) max: &'static str,
    pub(super) sum: (&'static str, &'static str),
    pub(super) squares: (&'static str, &'static str),
    pub(super) ratio_ln_ratio: (&'static str, &'static str),
}

/// What a column holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Texts,
    Integer,
    Integers,
    Number,
    Numbers,
}

/// What a row is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Cell,
    Mechanism,
    GeneratorA,
    GeneratorB,
    Floor,
    Unlabelled,
}

impl Entry {
    pub(super) const ALL: [Entry; 6] =
        [Entry::Cell, Entry::Mechanism, Entry::GeneratorA, Entry::GeneratorB, Entry::Floor, Entry::Unlabelled];

    pub(super) fn name(self) -> &'static str {
        match self {
            Entry::Cell => "cell",
            Entry::Mechanism => "mechanism",
            Entry::GeneratorA => "generator_a",
            Entry::GeneratorB => "generator_b",
            Entry::Floor => "floor",
            Entry::Unlabelled => "unlabelled",
        }
    }
}
