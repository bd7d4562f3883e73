# -*- test-case-name: tests.unit.test_testing_posts -*-
"""Words for invented posts: small vocabularies of several languages and scripts.

A text is an opening, a middle and a closing; any of each go together. Ampersands stand as X writes them, `&amp;`.
"""

from __future__ import annotations

import msgspec


class Language(msgspec.Struct, frozen=True):
    """A vocabulary; `code` is BCP 47, `weight` how often it is spoken here, `tags` without `#`."""

    code: str
    weight: int
    openings: tuple[str, ...]
    middles: tuple[str, ...]
    closings: tuple[str, ...]
    tags: tuple[str, ...]


def _language(code: str, weight: int, openings: str, middles: str, closings: str, tags: str) -> Language:
    def parts(line: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in line.split("|"))

    return Language(code, weight, parts(openings), parts(middles), parts(closings), tuple(tags.split()))


LANGUAGES = (
    _language(
        "en",
        10,
        "Good morning|Just now|Overheard on the tram|Small joy of the day|Tea &amp; toast|Note to self",
        "the kettle sings in B flat|two foxes crossed the bridge|my tomatoes are finally red|the tide pool is full of"
        " stars|the library smells of rain|a heron stood very still",
        "and nobody hurried.|so I waved.|what a week!|who else saw it?|more soon.|pass it on.",
        "morning garden birds tea rain library python maps",
    ),
    _language(
        "es",
        6,
        "Buenos días|Hoy en el mercado|¡Qué alegría!|Desde el balcón",
        "las naranjas huelen a verano|el gato duerme sobre el mapa|empieza a sonar la guitarra|cayó la primera lluvia",
        "y todos sonríen.|¿lo viste?|mañana más.|¡qué tarde tan bonita!",
        "mercado lluvia música montaña jardín",
    ),
    _language(
        "fr",
        4,
        "Bonjour|Ce matin|Au coin de la rue|Petite victoire",
        "le boulanger chante faux|les hirondelles sont revenues|la Seine brille|mon vélo a enfin des freins",
        "et c'est très bien ainsi.|à demain !|qui vient ?|quel été !",
        "matin été vélo forêt café",
    ),
    _language(
        "de",
        4,
        "Guten Morgen|Im Zug|Heute gelernt|Draußen vor der Tür",
        "der Igel ist wieder da|die Brötchen sind noch warm|es schneit große Flocken|das Chorkonzert war voll",
        "und alle lachen.|wie schön!|bis später.|wer macht mit?",
        "Garten Wälder Brötchen Straßenbahn Vögel",
    ),
    _language(
        "pt",
        3,
        "Bom dia|Na praia|Hoje cedo|Que surpresa",
        "o mar está calmo|a avó fez pão de queijo|os periquitos voltaram|o bonde passou cantando",
        "até logo!|que beleza.|quem vem junto?|valeu a pena.",
        "praia pão coração manhã",
    ),
    _language(
        "tr",
        2,
        "Günaydın|Vapurda|Bugün",
        "martılar simit bekliyor|çay çok güzel|ılık bir rüzgâr esiyor",
        "iyi ki geldik.|ne güzel!|yarın yine.",
        "çay deniz İstanbul",
    ),
    _language(
        "ru",
        4,
        "Доброе утро|Сегодня в парке|Хорошая новость|Из окна",
        "белка нашла свой орех|снег скрипит под ногами|чайник уже поёт|река почти замёрзла",
        "и это прекрасно.|кто ещё видел?|до завтра!|вот так день.",
        "утро парк чай снег",
    ),
    _language(
        "uk",
        2,
        "Доброго ранку|На подвір'ї|Щойно",
        "зацвіла вишня|їжак п'є молоко|дощ стукає у вікно",
        "і всім тепло.|гарного дня!|побачимось.",
        "ранок вишня їжак",
    ),
    _language(
        "el",
        3,
        "Καλημέρα|Στο λιμάνι|Σήμερα",
        "ο ήλιος βγήκε από τη θάλασσα|οι γάτες περιμένουν το ψάρι|μυρίζει βασιλικό",
        "τι ωραία!|τα λέμε αύριο.|ποιος έρχεται;",
        "θάλασσα καλημέρα ήλιος",
    ),
    _language(
        "ar",
        4,
        "صباح الخير|اليوم في السوق|من الشرفة|خبر جميل",
        "رائحة القهوة تملأ البيت|القمر قريب جدا الليلة|العصافير عادت إلى الشجرة|نزل المطر أخيرا",
        "والحمد لله.|من رأى ذلك؟|إلى الغد.|يا له من يوم!",
        "قهوة مطر صباح القمر",
    ),
    _language(
        "he",
        3,
        "בוקר טוב|בשוק|היום בים|מהחלון",
        "הלחם עוד חם|שני חתולים ישנים בשמש|פרחה השקדייה|הגלים רגועים",
        "איזה יופי!|מי בא?|נתראה מחר.|ועוד 3 קומות.",
        "בוקר ים שקדייה",
    ),
    _language(
        "hi",
        3,
        "सुप्रभात|आज सुबह|छत से",
        "आम के पेड़ पर तोते हैं|चाय में अदरक है|बारिश शुरू हो गई",
        "कितना सुंदर!|कल फिर मिलेंगे।|और कौन आएगा?",
        "चाय बारिश सुबह हिन्दी",
    ),
    _language(
        "ja",
        5,
        "おはようございます|今日の散歩|駅前で|うれしい知らせ",
        "桜が咲き始めました|猫が本の上で寝ている|お茶がおいしい|𠮷野の山は霧の中",
        "また明日。|すごい！|みんな見た？|いい日になりそう。",
        "桜 散歩 お茶 ねこ 東京タワー",
    ),
    _language(
        "ko",
        3,
        "좋은 아침|오늘 한강에서|작은 기쁨",
        "첫눈이 내려요|고양이가 창가에 앉아 있어요|떡볶이가 맛있어요",
        "내일 또 봐요.|같이 갈래요?|정말 예뻐요!",
        "첫눈 한강 아침",
    ),
    _language(
        "zh",
        4,
        "早上好|今天在公园|好消息|窗外",
        "桂花开了|小猫追着自己的影子|面条还冒着热气|月亮特别圆",
        "明天见。|谁也看到了？|真好！|慢慢来。",
        "桂花 早安 月亮 公园",
    ),
)

# Beyond the BMP, joined by zero-width joiners, with skin tones, flags, a variation selector.
EMOJI = ("😀", "🦊", "🌧️", "👩‍🚀", "👍🏽", "🏳️‍🌈", "🇳🇿", "🫖", "🪿", "🧑‍🤝‍🧑", "❤️", "🎉🎉", "🥐", "🚲")

# What suddenly everybody speaks about; every burst takes the next.
BURST_TAGS = (
    "NorthernLights",
    "kakapocam",
    "FirstSnow",
    "さくら前線",
    "MeteorShower",
    "ВесняноСвято",
    "TramDerby",
    "قوس_قزح",
    "BigTomato",
    "यात्रा",
    "RiverSwim",
    "첫눈소식",
)

CASHTAGS = ("ACME", "TEAPOT", "KITE")

MORE_WORDS = ("news", "photo", "story", "map", "notes", "recipe", "walk", "record")  # path words of invented links
