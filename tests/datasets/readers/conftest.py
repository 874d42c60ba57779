import pytest


@pytest.fixture
def write(tmp_path):
    """Writes a file, as text or bytes, and gives its path."""

    def write(text, name="file.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write
