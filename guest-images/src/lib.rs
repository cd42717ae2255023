//! The built-in probe guest and the recipe of the Linux test guest.
