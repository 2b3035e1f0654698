"""Vocabulary for made-up texts: English and identifiers, and phrases in other scripts.

Everything here was written for these tests; it is no part of anybody's prompt or code.
"""

from __future__ import annotations


def listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS = listed(
    "account adapter agent archive balance batch branch bucket buffer cache carrier catalogue cell "
    "channel checkpoint chunk client clock cluster column command commit config connection cookie "
    "counter cursor database deadline decoder delta deposit device digest driver edge encoder engine "
    "entry envelope error event export feature fence field file filter fixture flag folder frame "
    "gateway graph guard handler header heap history hook host import index input interval invoice "
    "issue item journal kernel key label layer lease ledger limit line listener lock log machine "
    "manifest mapping marker matrix member memory message meter migration module monitor mutex name "
    "namespace node notice number object offset option order output owner package page parcel parser "
    "partition path payload payment peer pipeline plan policy pool port prefix price probe process "
    "profile project proxy query queue quota range rate reader record region registry relay release "
    "report request reserve resource response result retry role route row rule runner sample scanner "
    "schedule schema scope script section segment selector sequence server service session setting "
    "shard signal slot snapshot socket source span spool stack stage state status step storage stream "
    "subject suffix summary surface switch table tag target task template tenant thread threshold "
    "ticket token tool topic trace transaction tree trigger tunnel type unit update upload user value "
    "vendor version view volume wallet watch weight window worker workspace writer zone"
)
VERBS = listed(
    "accept admit align append apply assert attach await bind build call cancel check claim clear "
    "close collect commit compare compile compute copy count create decode defer delete derive detach "
    "drain drop emit encode enqueue ensure escape evict expand expire export extend fetch fill filter "
    "find finish flush follow format forward gather guard handle hash hold inject insert inspect join "
    "keep lease limit link list load lock log map mark match measure merge migrate mirror move name "
    "normalise notify observe open order pack parse pause persist pin poll post prune publish purge "
    "push quote read rebuild receive record recover refresh refuse register release reload remove "
    "rename render repeat replace report request reserve reset resolve restore resume retry return "
    "revert rotate route run sample save scan schedule seal search select send serve settle shift "
    "show sign skip sort split start stop store stream strip submit sum swap sync tag take trace "
    "track trim unlock update upgrade validate verify wait wake watch wrap write"
)
ADJECTIVES = listed(
    "absent ambient atomic bounded brittle broken cached clean closed cold common complete compact "
    "correct current dead deep default dirty distinct early empty exact external fair final first "
    "fixed flat fresh full global greedy hidden idle inner internal invalid large last late lazy "
    "local long lost missing narrow nested new next noisy old open optional orphaned outer parallel "
    "partial pending plain previous primary private public pure quiet random raw ready recent "
    "redundant remote safe second serial shared short silent single slow small spare stable stale "
    "strict strong sudden temporary thin unique unknown unused upper usual valid verbose visible warm "
    "weak whole wide wrong"
)

PHRASES = {
    "chinese": (
        "请先阅读项目根目录下的配置文件，然后再修改代码。|这个函数没有处理空列表的情况，|数据库连接池"
        "的最大数量是二十。|测试全部通过了，但是覆盖率下降了百分之三。|我们需要把日志写到磁盘上，|如果请求超时，"
        "就返回错误信息。|用户的余额不足时，|系统应当拒绝新的订单。|更新依赖之后构建失败，|原因是接口的返回值"
        "改变了。|缓存的键包含时间戳，所以从来没有命中。|线程之间共享了同一个变量，|修复之后性能提高了一倍。"
    ),
    "japanese": (
        "まず設定ファイルを読み込んでから、|この関数は空のリストを考慮していません。|テストはすべて成功しました。|"
        "データベースへの接続が切れた場合は、|三回まで再試行してください。|ユーザーの残高が足りないときは|"
        "キャッシュが無効になる原因を調べます。|ログに「タイムアウト」と出力されています。|半角ｶﾅも含まれます。"
    ),
    "korean": (
        "먼저 설정 파일을 확인한 다음 |이 함수는 빈 목록을 처리하지 않습니다. |모든 테스트가 통과했습니다. |"
        "데이터베이스 연결이 끊어지면 |세 번까지 다시 시도하세요. |사용자의 잔액이 부족한 경우 |"
        "캐시가 무효화되는 이유는 "
    ),
    "cyrillic": (
        "Сначала прочитайте файл настроек, |эта функция не обрабатывает пустой список. |Все тесты прошли "
        "успешно, |однако покрытие снизилось на три процента. |Если соединение с базой данных разорвано, |"
        "повторите попытку не более трёх раз. |Недостаточно средств на счёте пользователя. |Спочатку перевірте журнал. "
    ),
    "arabic": (
        "اقرأ ملف الإعدادات أولاً ثم |هذه الدالة لا تعالج القائمة الفارغة. |نجحت جميع الاختبارات، |"
        "إذا انقطع الاتصال بقاعدة البيانات |فأعد المحاولة ثلاث مرات. |رصيد المستخدم غير كافٍ. |"
        "קרא תחילה את קובץ ההגדרות, "
    ),
    "indic": (
        "पहले सेटिंग फ़ाइल पढ़ें, |यह फ़ंक्शन ख़ाली सूची को नहीं सँभालता। |सभी परीक्षण सफल रहे। |"
        "อ่านไฟล์การตั้งค่าก่อน |ฟังก์ชันนี้ไม่รองรับรายการว่าง |การทดสอบทั้งหมดผ่านแล้ว |முதலில் அமைப்புக் கோப்பைப் படிக்கவும். |"
        "προηγουμένως διαβάστε το αρχείο ρυθμίσεων. |ჯერ წაიკითხეთ პარამეტრების ფაილი. "
    ),
    "emoji": (
        "🚀 deployed |✅ passed |❌ failed |🔥🔥🔥|👩‍💻 review |👨‍👩‍👧‍👦 |🇪🇺🇯🇵🇧🇷 |🧪 12/12 |📦 bundle |🙈🙉🙊 |"
        "⚠️ warning |"
        "🏳️‍🌈 |👍🏽 merged |🤷🏻‍♂️ |𝔻𝕠𝕦𝕓𝕝𝕖 |ｗｉｄｅ |½ ⅔ ² ³ |→ ⇒ ≤ ≥ ≠ |─│┌┐└┘├┤┬┴┼ |▁▂▃▄▅▆▇█ |z̷a̶l̸g̴o̵ "
    ),
}
SCRIPTS = {name: tuple(text.split("|")) for name, text in PHRASES.items()}
