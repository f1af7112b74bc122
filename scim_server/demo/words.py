"""Which names, titles and departments do the people of a made-up company have?"""

from typing import NamedTuple


class Word(NamedTuple):
    """A word as its people write it, and in Latin letters."""

    written: str
    latin: str


_PLAIN = str.maketrans("áéèíñóöøüłçś", "aeeinoooulcs", "'")


def _words(text: str) -> tuple[Word, ...]:
    pairs = [pair.split("/") for pair in text.split()]
    return tuple(Word(written, latin) for written, latin in pairs)


def _texts(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _latin(text: str) -> tuple[Word, ...]:
    return tuple(Word(name, name.translate(_PLAIN).lower()) for name in text.split())


JAPANESE_FAMILY = _words(
    "佐藤/sato 鈴木/suzuki 高橋/takahashi 田中/tanaka 伊藤/ito 渡辺/watanabe 山本/yamamoto 中村/nakamura"
    " 小林/kobayashi 加藤/kato 吉田/yoshida 山田/yamada 佐々木/sasaki 山口/yamaguchi 松本/matsumoto 井上/inoue"
    " 木村/kimura 林/hayashi 斎藤/saito 清水/shimizu 山崎/yamazaki 森/mori 池田/ikeda 橋本/hashimoto 阿部/abe"
    " 石川/ishikawa 山下/yamashita 中島/nakajima 石井/ishii 小川/ogawa 前田/maeda 岡田/okada 長谷川/hasegawa"
    " 藤田/fujita 後藤/goto 近藤/kondo 村上/murakami 遠藤/endo 青木/aoki 坂本/sakamoto 福田/fukuda 太田/ota"
    " 西村/nishimura 藤井/fujii 岡本/okamoto 金子/kaneko 藤原/fujiwara 三浦/miura 中野/nakano 中川/nakagawa"
    " 原田/harada 松田/matsuda 竹内/takeuchi 小野/ono 田村/tamura 中山/nakayama 和田/wada 石田/ishida 森田/morita"
    " 上田/ueda 原/hara 内田/uchida 柴田/shibata 酒井/sakai 宮崎/miyazaki 横山/yokoyama 高木/takagi 安藤/ando"
    " 宮本/miyamoto 大野/ono 小島/kojima 工藤/kudo 谷口/taniguchi 今井/imai 高田/takada 増田/masuda 丸山/maruyama"
    " 杉山/sugiyama 村田/murata 大塚/otsuka 新井/arai 小山/koyama 平野/hirano 藤本/fujimoto 河野/kono 上野/ueno"
    " 野口/noguchi 武田/takeda 松井/matsui 千葉/chiba 岩崎/iwasaki 菅原/sugawara 木下/kinoshita 久保/kubo"
    " 佐野/sano 野村/nomura 松尾/matsuo 市川/ichikawa 菊地/kikuchi 杉本/sugimoto"
)
JAPANESE_GIVEN = _words(
    "太郎/taro 花子/hanako 健一/kenichi 翔太/shota 大輔/daisuke 直樹/naoki 学/manabu 隆/takashi 誠/makoto"
    " 拓也/takuya 美咲/misaki 陽子/yoko 恵/megumi 愛/ai 由美/yumi 真由美/mayumi 久美子/kumiko 裕子/yuko"
    " 智子/tomoko さくら/sakura 蓮/ren 悠真/yuma 湊/minato 陽菜/hina 結衣/yui 葵/aoi 凛/rin 大翔/hiroto 結菜/yuna"
    " 莉子/riko 浩/hiroshi 和也/kazuya 達也/tatsuya 亮/ryo 修/osamu 茂/shigeru 幸子/sachiko 京子/kyoko"
    " 千尋/chihiro 舞/mai"
)
LATIN_FAMILY = _latin(
    "Smith Johnson Williams Brown Jones García Miller Davis Rodríguez Martínez Hernández López Wilson Anderson"
    " Thomas Taylor Moore Jackson Martin Lee Pérez Thompson White Harris Sánchez Clark Ramírez Lewis Robinson"
    " Walker Young Allen King Wright Scott Torres Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera"
    " Campbell Mitchell Carter Roberts Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann"
    " Koch Richter Klein Wolf Schröder Neumann Schwarz Zimmermann Bernard Dubois Robert Petit Durand Leroy Moreau"
    " Simon Laurent Lefèvre Michel François Rossi Russo Ferrari Esposito Bianchi Romano Colombo Ricci Marino"
    " Greco Jensen Nielsen Hansen Pedersen Andersen Sørensen Larsen O'Brien Murphy Kelly Sullivan Walsh Kowalski"
    " Nowak Wiśniewski Silva Santos Oliveira Souza Kim Park Chen Wang Singh"
)
LATIN_GIVEN = _latin(
    "James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard Susan Joseph"
    " Jessica Thomas Sarah Charles Karen Daniel Nancy Matthew Lisa Anthony Margaret Mark Sandra José Anna Jürgen"
    " Sofia Björn Emma Søren Marie François Chloé Luca Giulia"
)
DEPARTMENTS = _texts(
    "Sales Marketing Engineering Research Finance Legal Logistics Purchasing Support Operations Quality Security"
    " 営業部 人事部 総務部 経理部 法務部 開発部 製造部 品質保証部 情報システム部 広報部 購買部 海外事業部 企画部"
    " 物流部"
)
DIVISIONS = ("Head Office", "Americas", "Europe", "東日本", "西日本", "Asia Pacific")
TITLES = ("Manager", "Senior Manager", "Engineer", "Senior Engineer", "Analyst", "Consultant", "Assistant", "Director")
JAPANESE_TITLES = ("部長", "課長", "係長", "主任", "社員", "担当", "次長", "専門職")
USER_TYPES = ("Employee", "Employee", "Employee", "Employee", "Contractor", "Temporary")
CITIES = (
    ("千代田区", "東京都", "100-0001", "JP"), ("北区", "大阪府", "530-0001", "JP"),
    ("中区", "愛知県", "460-0001", "JP"), ("博多区", "福岡県", "812-0011", "JP"),
    ("Hollywood", "CA", "91608", "US"), ("Berlin", "BE", "10115", "DE"),
    ("Paris", "IDF", "75001", "FR"), ("London", "LND", "EC1A 1BB", "GB"),
)  # fmt: skip
SERVICES = ("Mail", "Calendar", "Drive", "VPN", "Wiki", "Chat", "CRM", "Payroll", "勤怠管理", "経費精算")
GROUPS = ("Team", "Project", "Committee", "Site", "班", "委員会", "プロジェクト")
