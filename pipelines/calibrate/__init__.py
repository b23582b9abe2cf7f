"""What may be promised of the gate: exact bounds and tests over arrays. No I/O; numpy and scipy alone.

docs/certificates.md says in plain words what each claim promises, and proves it.
"""
