"""The words and phone numbers of demo data, by language.

Where a country has set numbers aside for fiction, they are used; elsewhere an example number of
phonenumbers with other last digits.
"""

from typing import Final, NamedTuple


class Language(NamedTuple):
    """Words are separated by `|`, other values by blanks.

    phones: a country and the form of its numbers, in which # is any digit.
    given: given names; `=` separates one from its form in ASCII where accents are not all of it.
    uses: what a thing is for. Any of them goes with any thing.
    remarks: sentences that describe a thing.
    item: the name of an item, of its thing {0} and its use {1}.
    """

    phones: str
    given: str
    things: str
    uses: str
    remarks: str
    item: str = "{0} {1}"


LANGUAGES: Final = (
    Language(
        "US+120255501## GB+442079460### AU+61491570### CA+161355501## IE+35385012####"
        " NZ+6421123#### ZA+2771123####",
        "Ava Ben Chloe Dylan Ella Finn Grace Henry Ivy Jack",
        "lamp|chair|kettle|clock|blanket|mug|mirror|basket",
        "for the garden|for travel|for children|for the kitchen|for the office",
        "Like new.|Made by hand.|With a small scratch.",
    ),
    Language(
        "ES+3461234#### MX+52222123#### AR+549112345#### CO+57321123#### CL+5622123####"
        " PE+5191234####",
        "Alejandra Bruno Carla Diego Elena Íñigo Lucía Mateo Nuria Tomás",
        "lámpara|silla|tetera|reloj|manta|taza|espejo|cesta",
        "para el jardín|para viaje|para niños|para la cocina|para la oficina",
        "En buen estado.|Trabajo artesanal.|Con un pequeño rasguño.",
    ),
    Language(
        "FR+33199001### BE+3245000#### SN+22170123#### CI+22501234#####",
        "Aurélie Bastien Chloé Damien Élodie Florian Inès Jérôme Léa Mathieu",
        "lampe|chaise|bouilloire|horloge|couverture|tasse|miroir|panier",
        "pour le jardin|pour le voyage|pour les enfants|pour la cuisine|pour le bureau",
        "En bon état.|Travail artisanal.|Avec une petite rayure.",
    ),
    Language(
        "DE+493023125### AT+4366412#### CH+4178123####",
        "Anke Björn Claudia Dieter Elke Jörg Käthe Lukas Meike Sönke",
        "Lampe|Stuhl|Wasserkessel|Uhr|Decke|Tasse|Spiegel|Korb",
        "für den Garten|für die Reise|für Kinder|für die Küche|für das Büro",
        "Fast neu.|Handarbeit.|Mit kleinem Kratzer.",
    ),
    Language(
        "BR+551196123#### PT+35191234#### AO+24492312#### MZ+25882123####",
        "Ana Bruno Cauã Débora Flávia Gonçalo Inês João Márcia Vítor",
        "cadeira|chaleira|relógio|manta|caneca|espelho|cesta|almofada",
        "para o jardim|para viagem|para crianças|para a cozinha|para o escritório",
        "Em bom estado.|Trabalho artesanal.|Com um pequeno risco.",
    ),
    Language(
        "PL+4851234####",
        "Agnieszka Bożena Dawid Elżbieta Grażyna Kamil Małgorzata=Malgorzata Paweł=Pawel Zuzanna",
        "lampa|krzesło|czajnik|zegar|koc|kubek|lustro|koszyk",
        "do ogrodu|na podróż|dla dzieci|do kuchni|do biura",
        "W dobrym stanie.|Ręczna robota.|Z małą rysą.",
    ),
    Language(
        "TR+90501234####",
        "Ayşe Barış=Baris Çiğdem Deniz Emre Gökçe Hüseyin İpek Özge Şule",
        "lamba|sandalye|çaydanlık|saat|battaniye|kupa|ayna|sepet",
        "bahçe için|yolculuk için|çocuklar için|mutfak için|ofis için",
        "Yeni gibi.|El yapımı.|Küçük bir çizik var.",
        "{1} {0}",
    ),
    Language(
        "VN+8491234####",
        "An Bình Cường Dũng Hương Lan Minh Phượng Quỳnh Tuấn",
        "đèn|ghế|ấm nước|đồng hồ|chăn|cốc|gương|giỏ",
        "cho sân vườn|đi du lịch|cho trẻ em|cho nhà bếp|cho văn phòng",
        "Còn như mới.|Làm thủ công.|Có vết xước nhỏ.",
    ),
    Language(
        "UA+38050123####",
        "Богдан=Bohdan Віра=Vira Ганна=Hanna Дмитро=Dmytro Зоряна=Zoriana Катерина=Kateryna"
        " Марко=Marko Надія=Nadiia Олена=Olena Тарас=Taras",
        "лампа|стілець|чайник|годинник|ковдра|кухоль|дзеркало|кошик",
        "для саду|для подорожей|для дітей|для кухні|для офісу",
        "У доброму стані.|Ручна робота.|З маленькою подряпиною.",
    ),
    Language(
        "GR+30691234#### CY+3579612####",
        "Αλέξανδρος=Alexandros Βασιλική=Vasiliki Γιώργος=Giorgos Δήμητρα=Dimitra Ελένη=Eleni"
        " Κώστας=Kostas Μαρία=Maria Νίκος=Nikos",
        "λάμπα|καρέκλα|τσαγιέρα|ρολόι|κουβέρτα|κούπα|καθρέφτης|καλάθι",
        "για τον κήπο|για ταξίδι|για παιδιά|για την κουζίνα|για το γραφείο",
        "Σε καλή κατάσταση.|Χειροποίητη δουλειά.|Με μικρή γρατζουνιά.",
    ),
    Language(
        "GE+99555512####",
        "ნინო=Nino გიორგი=Giorgi თამარ=Tamar ლევან=Levan მარიამ=Mariam დავით=Davit",
        "ლამპა|სკამი|ჩაიდანი|საათი|საბანი|ფინჯანი|სარკე|კალათა",
        "ბაღისთვის|მოგზაურობისთვის|ბავშვებისთვის|სამზარეულოსთვის|ოფისისთვის",
        "კარგ მდგომარეობაში.|ხელნაკეთი.",
    ),
    Language(
        "AM+3747712####",
        "Անահիտ=Anahit Արմեն=Armen Գայանե=Gayane Դավիթ=Davit Լիլիթ=Lilit Տիգրան=Tigran",
        "լամպ|աթոռ|թեյնիկ|ժամացույց|վերմակ|բաժակ|հայելի|զամբյուղ",
        "այգու համար|ճամփորդության համար|երեխաների համար|խոհանոցի համար|գրասենյակի համար",
        "Լավ վիճակում։|Ձեռքի աշխատանք։",
    ),
    Language(
        "EG+20100123#### JO+96279012#### SA+96651234#### MA+21265012#### AE+97150123####",
        "أمينة=Amina باسم=Basem جمانة=Jumana خالد=Khaled دانا=Dana رامي=Rami سلمى=Salma"
        " طارق=Tareq ليلى=Layla نور=Nour",
        "مصباح|كرسي|إبريق|ساعة|بطانية|كوب|مرآة|سلة",
        "للحديقة|للسفر|للأطفال|للمطبخ|للمكتب",
        "بحالة جيدة.|صناعة يدوية.|مع خدش صغير.",
    ),
    Language(
        "IL+97250234####",
        "אורי=Ori דניאל=Daniel הילה=Hila יעל=Yael מיכל=Michal נועה=Noa עומר=Omer תמר=Tamar",
        "מנורה|כיסא|קומקום|שעון|שמיכה|ספל|מראה|סלסלה",
        "לגינה|לנסיעות|לילדים|למטבח|למשרד",
        "במצב טוב.|עבודת יד.|עם שריטה קטנה.",
    ),
    Language(
        "IN+91812345####",
        "अदिति=Aditi आरव=Aarav दीपक=Deepak कविता=Kavita मीरा=Meera रोहन=Rohan सुनीता=Sunita"
        " विकास=Vikas",
        "लैंप|कुर्सी|केतली|घड़ी|कंबल|प्याला|आईना|टोकरी",
        "बगीचे के लिए|यात्रा के लिए|बच्चों के लिए|रसोई के लिए|दफ़्तर के लिए",
        "अच्छी हालत में।|हाथ का काम।",
        "{1} {0}",
    ),
    Language(
        "BD+880181234####",
        "অনিকা=Anika করিম=Karim তানভীর=Tanvir নাদিয়া=Nadia রাশেদ=Rashed শিরিন=Shirin",
        "বাতি|চেয়ার|কেতলি|ঘড়ি|কম্বল|কাপ|আয়না|ঝুড়ি",
        "বাগানের জন্য|ভ্রমণের জন্য|শিশুদের জন্য|রান্নাঘরের জন্য|অফিসের জন্য",
        "ভালো অবস্থায়।|হাতে তৈরি।",
        "{1} {0}",
    ),
    Language(
        "ET+25191123####",
        "አበበ=Abebe ሃና=Hana ዳዊት=Dawit ሰላም=Selam ቤተልሔም=Betelhem ዮናስ=Yonas",
        "መብራት|ወንበር|ማንቆርቆሪያ|ሰዓት|ብርድ ልብስ|ኩባያ|መስታወት|ቅርጫት",
        "ለአትክልት ቦታ|ለጉዞ|ለልጆች|ለወጥ ቤት|ለቢሮ",
        "በጥሩ ሁኔታ።|የእጅ ሥራ።",
        "{1} {0}",
    ),
    Language(
        "TH+6681234####",
        "กานดา=Kanda ชัย=Chai ดารา=Dara นิดา=Nida พิม=Pim มานี=Manee สมชาย=Somchai อรุณ=Arun",
        "โคมไฟ|เก้าอี้|กาน้ำ|นาฬิกา|ผ้าห่ม|แก้ว|กระจก|ตะกร้า",
        "สำหรับสวน|สำหรับเดินทาง|สำหรับเด็ก|สำหรับห้องครัว|สำหรับสำนักงาน",
        "สภาพดี|งานทำมือ|มีรอยขีดข่วนเล็กน้อย",
        "{0}{1}",
    ),
    Language(
        "CN+861312345#### SG+658123####",
        "晨=Chen 芳=Fang 静=Jing 丽华=Lihua 明=Ming 小雨=Xiaoyu 雪=Xue 子涵=Zihan",
        "台灯|椅子|水壶|时钟|毛毯|杯子|镜子|篮子",
        "花园用|旅行用|儿童用|厨房用|办公用",
        "九成新。|手工制作。|有轻微划痕。",
        "{1}{0}",
    ),
    Language(
        "TW+88691234#### HK+8525123####",
        "怡君=Yijun 雅婷=Yating 家豪=Jiahao 志明=Zhiming 淑芬=Shufen 詠詩=Wingsze",
        "檯燈|椅子|水壺|時鐘|毛毯|杯子|鏡子|籃子",
        "花園用|旅行用|兒童用|廚房用|辦公用",
        "九成新。|手工製作。|有輕微刮痕。",
        "{1}{0}",
    ),
    Language(
        "JP+81901234####",
        "さくら=Sakura ゆい=Yui 葵=Aoi 蓮=Ren 翔=Sho 陽菜=Hina 健太=Kenta 美咲=Misaki",
        "ランプ|椅子|やかん|時計|毛布|マグカップ|鏡|かご",
        "庭用|旅行用|子ども用|台所用|事務所用",
        "新品同様です。|手作りです。|小さな傷があります。",
        "{1}{0}",
    ),
    Language(
        "KR+82102000####",
        "민준=Minjun 서연=Seoyeon 지우=Jiwoo 하은=Haeun 도윤=Doyun 수빈=Subin 예린=Yerin"
        " 현우=Hyunwoo",
        "램프|의자|주전자|시계|담요|머그잔|거울|바구니",
        "정원용|여행용|어린이용|주방용|사무실용",
        "새것 같습니다.|수제품입니다.|작은 흠집이 있습니다.",
        "{1} {0}",
    ),
)
# The second part of usernames and emails: no real person has such a name.
NOUNS: Final = "river|maple|harbor|lantern|meadow|pebble|willow|comet|ember|orchard"
