# SPDX-License-Identifier: Apache-2.0
"""`syncam soak`: the engine broken on purpose, over real processes and sockets."""
