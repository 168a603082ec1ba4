# SPDX-License-Identifier: Apache-2.0
"""What only developers use: engines to be hit hard, and speeds measured. Nothing imports it but
itself and the tests; `syncam bench` and `syncam soak` find it by name where it is."""
