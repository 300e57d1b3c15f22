"""What `araclip doctor` finds in an installation: findings with a mark, without paths."""

from araclip.doctor.examine import examine
from araclip.doctor.finding import Finding, Mark, block

__all__ = ["Finding", "Mark", "block", "examine"]
