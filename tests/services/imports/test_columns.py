"""The columns that each profile reads, under the names that shops and `--map` give them."""

import pytest

from tests.services.imports.files import case, csv_file, import_file, parsed_file
from vitrina.services.imports.import_file import FileFormat, ImportFile
from vitrina.services.imports.rows import ParsedRow, Profile, UnreadableFile

# The header of an export in each language that the table of translations covers, one row each.
WOOCOMMERCE = {
    "German": "ID,Typ,Artikelnummer,Name,Veröffentlicht,Kurzbeschreibung,Beschreibung,Regulärer Preis,"
    "Übergeordnetes Produkt,Marken,Attribut 1 Name,Attribut 1 Wert(e)",
    "Spanish": "ID,Tipo,SKU,Nombre,Publicado,Descripción corta,Descripción,Precio normal,Superior,Marcas,"
    "Nombre del atributo 1,Valor(es) del atributo 1",
    "French": "ID,Type,UGS,Nom,Publié,Description courte,Description,Tarif régulier,Parent,Marques,"
    "Nom de l\u2019attribut 1,Valeur(s) de l\u2019attribut 1 ",
    "Italian": "ID,Tipo,COD,Nome,Pubblicato,Breve descrizione,Descrizione,Prezzo di listino,Genitore,Marchi,"
    "Attributo 1 nome,Attributo 1 valuta(e)",
    "Italian since 2026": "ID,Tipo,SKU,Nome,Pubblicato,Breve descrizione,Descrizione,Prezzo di listino,Genitore,Marchi,"
    "Nome dell'attributo 1,Valore dell'attributo 1",
    "Portuguese of Brazil": "ID,Tipo,SKU,Nome,Publicado,Descrição curta,Descrição,Preço,Ascendente,Marcas,"
    "Nome do atributo 1,Valores do atributo 1",
    "Portuguese of Portugal": "ID,Tipo,REF,Nome,Publicado,Descrição breve,Descrição,Preço normal,Pai,Marcas,"
    "Atributo 1 nome,Atributo 1 valor(es)",
    "Dutch": "ID,Type,SKU,Naam,Gepubliceerd,Korte beschrijving,Beschrijving,Reguliere prijs,Hoofd,Merken,"
    "Attribuut 1 naam,Attribuut 1 waarde(n)",
    "Dutch of 2023": "ID,Type,Artikelnummer,Naam,Gepubliceerd,Korte omschrijving,Beschrijving,Reguliere prijs,Hoofd,"
    "Merken,Naam eigenschap 1,Waarde eigenschap 1",
    "Polish": "ID,Rodzaj,SKU,Nazwa,Opublikowano,Krótki opis,Opis,Cena,Nadrzędny,Marki,Nazwa atrybutu 1,"
    "Wartości atrybutu 1",
    "Polish of 2023": "ID,Typ,SKU,Nazwa,Opublikowano,Krótki opis,Opis,Cena,Element nadrzędny,Marki,Nazwa atrybutu 1,"
    "Wartości atrybutu 1",
    "Russian": "ID,Тип,Артикул,Имя,Опубликован,Краткое описание,Описание,Базовая цена,Родительский,Бренды,"
    "Название атрибута 1,Значения атрибутов 1",
}
ROWS = """
10,variable,TEE,Tee,1,,Soft,,,Acme,Colour,"Red, Blue"
11,variation,TEE-R,,1,,,"19,99",TEE,,Colour,Red
12,simple,OLD,Old,-1,,,5,,Acme,,
"""


@pytest.mark.parametrize("language", WOOCOMMERCE)
def test_a_woocommerce_export_has_the_column_names_of_its_language(language: str) -> None:
    """As its exporter is translated; `Published` decides that the draft is left out."""
    (row,) = (
        row
        for row in parsed_file((WOOCOMMERCE[language] + ROWS).encode(), Profile.WOOCOMMERCE)
        if isinstance(row, ParsedRow)
    )
    assert row.texts == {
        "sku": "TEE-R",
        "name": "Tee - Red",
        "brand": "Acme",
        "price": "19,99",
        "description": "Soft",
    }


@pytest.mark.parametrize(
    ("name", "sku", "text", "brand"),
    [
        ("wc-german", "LAMPE-1", "Schön", "Acme"),
        ("wc-french", "LAMPE-F", "Jolie", "Acme"),
        ("wc-spanish", "LAMPARA-1", "Bonita", "Acme"),
        ("wc-meta-case", "MUG-1", "", "Acme"),
    ],
)
def test_an_exported_file_is_read_whole(name: str, sku: str, text: str, brand: str) -> None:
    """Columns that nobody reads refuse no file, though two of them differ by case alone."""
    (row,) = parsed_file(case(name), Profile.WOOCOMMERCE)
    assert isinstance(row, ParsedRow)
    assert (row.texts["sku"], row.texts["description"], row.texts["brand"]) == (sku, text, brand)


def test_a_column_can_be_mapped_in_every_profile() -> None:
    """To a field of the product or to a column of the profile; a mapped column precedes the one with that name."""
    own = csv_file({"Code": "A", "sku": "old", "Preis": "5", "stock": "9"})
    (row,) = parsed_file(own, Profile.VITRINA, columns={"CODE": "sku", "Preis": "price"})
    assert isinstance(row, ParsedRow)
    assert row.texts == {"sku": "A", "price": "5"}
    shop = csv_file({"Handle": "cap", "Title": "Cap", "Variant Price": "5", "Hersteller": "Acme", "Geld": "EUR"})
    (row,) = parsed_file(shop, Profile.SHOPIFY, columns={"Hersteller": "brand", "Geld": "currency"})
    assert isinstance(row, ParsedRow)
    assert (row.texts["brand"], row.texts["currency"]) == ("Acme", "EUR")
    czech = csv_file({"Typ": "simple", "SKU": "A", "Název": "Hrnek", "Běžná cena": "99"})
    (row,) = parsed_file(czech, Profile.WOOCOMMERCE, columns={"Název": "name", "Běžná cena": "regular price"})
    assert isinstance(row, ParsedRow)
    assert (row.texts["name"], row.texts["price"]) == ("Hrnek", "99")
    (row,) = parsed_file(b'{"Code": "A", "price": 5}', Profile.VITRINA, FileFormat.JSONL, columns={"code": "sku"})
    assert isinstance(row, ParsedRow)
    assert row.texts == {"sku": "A", "price": "5"}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"Code": "sku", "Preis": "price", "gone": "name"}, "--map: it has no column 'gone'"),
        ({"Code": "prize"}, "--map: the profile has no field 'prize'"),
        ({"Code": "sku", "Preis": "SKU"}, "it has the column 'sku' twice, as 'code' and 'preis': --map selects one"),
    ],
)
def test_a_mapping_that_does_not_fit_the_file_is_refused(columns: dict[str, str], words: str) -> None:
    with pytest.raises(UnreadableFile, match=words):
        parsed_file(csv_file({"Code": "A", "Preis": "5"}), Profile.VITRINA, columns=columns)


def test_a_column_that_is_read_occurs_once() -> None:
    """Two spellings of it are two of it; the unread ones are named, so that a misspelt one is not lost silently."""
    with pytest.raises(UnreadableFile, match="it has the column 'sku' twice, as 'sku' and 'sku': --map selects one"):
        parsed_file(b"sku,SKU \nA,B\n", Profile.VITRINA)
    with pytest.raises(UnreadableFile, match="'variant sku' twice, as 'variant sku' and 'sku'"):
        parsed_file(b"Handle,Title,Variant Price,Variant SKU,SKU\n", Profile.SHOPIFY)
    file = import_file(b"sku,id,stock,nmae\nA,1,2,x\n")
    assert unread_of(file) == ["stock", "nmae"]


def unread_of(file: ImportFile) -> list[str]:
    """Parse a file of Vitrina's own profile and return the columns that nobody read."""
    parsed_file(file, Profile.VITRINA)
    return list(file.unread)
