# SPDX-License-Identifier: Apache-2.0
"""The trainer: one loop for every task; here the multi-view transformer's."""
