# SPDX-License-Identifier: Apache-2.0
"""The lab: real kernels with LIO/TCMU, a real Ceph cluster and initiators in a world of their own. See lab.py for the whole."""
