from typing import List, Optional, Tuple

Row = Tuple[int, str, str, Optional[Tuple[str, str, str, str]]]

VERSION: str

def count(pid: Optional[int] = None) -> int: ...
def snapshot(pid: Optional[int] = None) -> Tuple[int, int, List[Row], bool]: ...
