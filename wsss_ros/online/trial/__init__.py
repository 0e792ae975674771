"""The trial of the gate: many short rounds, good and spoilt ones, judged by two rules and compared with dense truth."""
