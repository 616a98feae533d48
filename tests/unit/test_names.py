"""Names: which are left alone, what the service is told, and how a suffix finds room."""

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfolder.names import (
    BUILT_IN_FILES,
    BUILT_IN_FOLDERS,
    Ignored,
    as_portable,
    numbered,
    sent_name,
    split,
    told_apart,
    with_end,
    with_extension,
    with_mark,
)

# What may stand in a folder: any bytes but NUL and the slash, and neither "." nor "..".
file_names = (
    st.one_of(
        st.text(min_size=1, max_size=120).map(lambda text: text.encode("utf-8", "replace")), st.binary(min_size=1)
    )
    .map(lambda raw: raw.replace(b"\0", b"").replace(b"/", b"")[:255])
    .filter(lambda raw: raw not in {b"", b".", b".."})
    .map(os.fsdecode)
)


# Left alone


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        (".photo.jpg.Xa81Bc", ".*"),
        ("._photo.jpg", ".*"),
        (".DS_Store", ".*"),
        ("~syncthing~photo.jpg.tmp", "~syncthing~*"),
        ("photo.jpg.part", "*.part"),
        ("f.AbCdEf.jpg.part", "*.part"),
        ("photo.jpg.0a1b2c3d.partial", "*.partial"),
        ("photo.jpg.filepart", "*.filepart"),
        ("photo.jpg.CRDOWNLOAD", "*.crdownload"),
        ("photo.jpg.!sync", "*.!sync"),
        ("photo.jpg~", "*~"),
        ("~$letter.docx", "~$*"),
        ("THUMBS.DB", "Thumbs.db"),
        ("Desktop.ini", "desktop.ini"),
        ("Icon\r", "Icon\r"),
        ("photo.jpg@SynoEAStream", "*@SynoEAStream"),
        ("SYNOPHOTO_THUMB_XL.jpg", "SYNOPHOTO_THUMB_*"),
        ("new\nline.tmp", "*.tmp"),
    ],
)
def test_what_other_programs_leave_lying_is_left_alone_and_the_pattern_named(name: str, pattern: str) -> None:
    assert Ignored().file(name) == pattern


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        (".watchfolder", ".*"),
        (".@__thumb", ".*"),
        ("@eaDir", "@eaDir"),
        ("@EADIR", "@eaDir"),
        ("#recycle", "#recycle"),
        ("$Recycle.Bin", "$RECYCLE.BIN"),
        ("System Volume Information", "System Volume Information"),
        ("lost+found", "lost+found"),
        ("_UNPACK_shoot", "_UNPACK_*"),
    ],
)
def test_folders_of_the_system_are_left_alone(name: str, pattern: str) -> None:
    assert Ignored().folder(name) == pattern


@pytest.mark.parametrize(
    "name", ["photo.jpg", "part.jpg", "tmp", "Icon", "a~b.jpg", "partial", "caf\udce9.jpg", "사진.png"]
)
def test_pictures_and_their_folders_are_taken(name: str) -> None:
    assert Ignored().file(name) is None
    assert Ignored().folder(name) is None


def test_patterns_for_files_do_not_hide_folders_nor_the_other_way_round() -> None:
    assert Ignored().folder("shoot.tmp") is None
    assert Ignored().file("lost+found") is None


def test_further_patterns_hold_for_files_and_folders() -> None:
    ignored = Ignored(["*_draft.*", "proofs", "IMG_[0-9]?.JPG", "[!a]-*"])
    assert ignored.file("a_draft.jpg") == "*_draft.*"
    assert ignored.folder("Proofs") == "proofs"
    assert ignored.file("img_12.jpg") == "IMG_[0-9]?.JPG"
    assert ignored.file("b-1.jpg") == "[!a]-*"
    assert ignored.file("a-1.jpg") is None
    assert ignored.file("photo.jpg.part") == "*.part"


def test_a_built_in_pattern_can_be_lifted_whatever_its_case() -> None:
    ignored = Ignored(["!*.TMP", "!@eaDir"])
    assert ignored.file("photo.tmp") is None
    assert ignored.folder("@eaDir") is None
    assert ignored.file("photo.temp") == "*.temp"


def test_all_may_be_lifted_but_the_hidden_stay_hidden() -> None:
    ignored = Ignored([f"!{pattern}" for pattern in (*BUILT_IN_FILES, *BUILT_IN_FOLDERS)])
    assert (ignored.file("photo.tmp"), ignored.folder("@eaDir")) == (None, None)
    assert (ignored.file(".photo.tmp"), ignored.folder(".watchfolder")) == (".*", ".*")


def test_a_pattern_holds_however_a_mac_spells_its_accents() -> None:
    assert Ignored(["entwürfe"]).folder(unicodedata.normalize("NFD", "Entwürfe")) == "entwürfe"


@pytest.mark.parametrize("pattern", ["", "  ", "a/b", "!*.jpg", "!", "!.*"])
def test_a_pattern_that_can_do_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern"):
        Ignored([pattern])


# Told to the service


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("photo.JPG", "photo.jpg"),
        ("my photo (2).png", "my_photo_2_.jpg"),
        ("Frühling.jpg", "Fruhling.jpg"),
        ("shoot/day 1/photo.jpg", "photo.jpg"),
        ("사진_01.jpg", "_01.jpg"),
        ("사진.jpg", "picture.jpg"),
        ("🙂.jpg", "picture.jpg"),
        ("caf\udce9.jpg", "caf_.jpg"),
        ("-rf.jpg", "rf.jpg"),
        ("..jpg", "picture.jpg"),
        ("Dr. No", "Dr._No.jpg"),
        ("NUL.jpg", "_NUL.jpg"),
        ("com1.tar.jpg", "_com1.tar.jpg"),
        ("con." + "x" * 76, "_on." + "x" * 76 + ".jpg"),
        ("a\r\nb.jpg", "a_b.jpg"),
        ("shot_fail.jpg", "shot_fail.jpg"),
        ("x" * 200 + "_fail.jpg", "x" * 75 + "_fail.jpg"),
    ],
)
def test_the_service_is_told_a_plain_name(name: str, told: str) -> None:
    assert sent_name(name, ".jpg") == told
    assert sent_name(name, "jpg") == told


@given(file_names)
def test_no_name_of_a_file_reaches_the_service_as_anything_but_plain_ascii(name: str) -> None:
    told = sent_name(name, ".jpg")
    stem = told.removesuffix(".jpg")
    assert told.endswith(".jpg")
    assert 1 <= len(stem) <= 80
    assert stem.isascii()
    assert set(stem) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert stem[0] not in "-."
    assert stem[-1] != "."
    assert stem.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}


# Room for a suffix


def test_a_suffix_goes_where_a_person_expects_it() -> None:
    assert numbered("photo.jpg", 2) == "photo (2).jpg"
    assert with_mark("photo.jpg", " (TEST)") == "photo (TEST).jpg"
    assert with_extension("photo.bmp", ".png") == "photo.png"
    assert with_extension("photo.bmp", "png") == "photo.png"
    assert with_end("photo.jpg", ".why.txt") == "photo.jpg.why.txt"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("photo.jpg", ("photo", ".jpg")),
        ("archive.tar.gz", ("archive.tar", ".gz")),
        ("Dr. No", ("Dr. No", "")),
        (".jpg", (".jpg", "")),
        ("photo.", ("photo.", "")),
        ("photo", ("photo", "")),
        ("new\nline.jpg", ("new\nline", ".jpg")),
        ("a.b/photo", ("a.b/photo", "")),
        ("a.b/.jpg", ("a.b/.jpg", "")),
    ],
)
def test_an_extension_is_what_a_person_takes_for_one(name: str, parts: tuple[str, str]) -> None:
    assert split(name) == parts


def test_the_folder_of_a_name_stays_and_takes_no_room() -> None:
    folder = "d" * 200 + "/" + "e" * 200
    assert numbered(f"{folder}/photo.jpg", 2) == f"{folder}/photo (2).jpg"
    assert numbered("a.b/photo", 2) == "a.b/photo (2)"


def test_a_name_that_is_too_long_loses_the_end_of_its_stem() -> None:
    assert numbered("x" * 251 + ".jpg", 12) == "x" * 246 + " (12).jpg"
    assert with_end("x" * 251 + ".jpg", ".why.txt") == "x" * 243 + ".jpg.why.txt"


def test_a_limit_counts_bytes_and_a_character_is_never_cut() -> None:
    name = "사" * 83 + ".jpg"  # 249 + 4 bytes
    assert numbered(name, 2) == "사" * 82 + " (2).jpg"
    assert numbered("\udce9" * 251 + ".jpg", 2) == "\udce9" * 247 + " (2).jpg"
    assert numbered(name, 2, 64) == "사" * 18 + " (2).jpg"


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("e\u0301", "a letter and its accent"),
        ("\u1109\u1161\u11ab", "a Korean syllable, as macOS writes it"),
        ("\U0001f469\u200d\U0001f4bb", "a person and what she does"),
        ("\u270c\ufe0f", "a sign and its colours"),
        ("\u270c\U0001f3fd", "a hand and its colour"),
    ],
)
def test_what_is_one_character_to_the_eye_stays_whole_or_goes(end: str, why: str) -> None:
    tail = " (2).jpg"
    for cut in range(1, len(end)):
        room = len(os.fsencode("x" * 40 + end[:cut]))
        assert numbered("x" * 40 + end + "y" * 200 + ".jpg", 2, room + len(tail)) == "x" * 40 + tail, why


def test_a_stem_of_nothing_but_accents_is_cut_all_the_same() -> None:
    assert numbered("\u0301" * 120 + ".jpg", 2) == "\u0301" * 120 + " (2).jpg"
    assert numbered("\u0301" * 125 + ".jpg", 2) == "\u0301" * 123 + " (2).jpg"


@given(file_names, st.integers(min_value=64, max_value=255), st.integers(min_value=2, max_value=99_999))
def test_every_name_with_every_suffix_fits_and_keeps_its_extension(name: str, limit: int, number: int) -> None:
    extension = split(name)[1]
    made = {
        numbered(name, number, limit): f" ({number}){extension}",
        with_mark(name, " (TEST)", limit): f" (TEST){extension}",
        with_extension(name, ".png", limit): ".png",
        with_end(name, ".why.txt", limit): f"{extension}.why.txt",
    }
    for result, tail in made.items():
        stem = result.removesuffix(tail)
        assert result.endswith(tail)
        assert len(os.fsencode(result)) <= limit
        assert name.startswith(stem)
        assert stem
        assert os.fsdecode(os.fsencode(result)) == result


# Where a file system cannot hold every name


@pytest.mark.parametrize(
    ("name", "then", "at_last"),
    [
        ("plain ü 🦊 (2).jpg", "plain_u_2_.jpg", "plain_u_2_.jpg"),
        ("12:30?.jpg", "12_30_.jpg", "12_30_.jpg"),
        ("a\nb/c\\d/\udcff.jpg", "a_b/c_d/_.jpg", "a_b/c_d/_.jpg"),
        ("ends. /x .", "ends__/x__", "ends_/x_"),
        ("CON.jpg", "_CON.jpg", "_CON.jpg"),
        ("nul/ü.jpg", "_nul/ü.jpg", "_nul/u.jpg"),
        ("사진:1.jpg", "사진_1.jpg", "_1.jpg"),
    ],
)
def test_a_plainer_name_is_as_near_as_can_be_and_in_the_end_ascii(name: str, then: str, at_last: str) -> None:
    assert as_portable(name) == then
    assert as_portable(as_portable(as_portable(name))) == at_last


@given(file_names)
def test_there_is_a_plainest_name(name: str) -> None:
    plain = as_portable(as_portable(as_portable(as_portable(name))))
    assert as_portable(plain) == plain
    assert plain.isascii()
    assert len(plain.split("/")) == len(name.split("/"))
    assert all(part and part not in {".", ".."} for part in plain.split("/"))


@pytest.mark.parametrize(
    ("told", "apart"),
    [
        (["a.jpg", "b.jpg"], ["a.jpg", "b.jpg"]),
        (["a.jpg", "a.jpg", "A.JPG", "a.png"], ["a.jpg", "2-a.jpg", "3-A.JPG", "4-a.png"]),
        (["2-a.jpg", "a.jpg", "a.jpg"], ["2-a.jpg", "a.jpg", "3-a.jpg"]),
        (["x_fail.jpg", "x_fail.jpg"], ["x_fail.jpg", "2-x_fail.jpg"]),
        ([f"{'x' * 79}y.jpg"] * 2, [f"{'x' * 79}y.jpg", f"2-{'x' * 77}y.jpg"]),
        ([""], [""]),
    ],
)
def test_no_two_files_of_an_order_are_told_under_one_stem(told: list[str], apart: list[str]) -> None:
    assert told_apart(told) == apart
